// Classifies an image by fetch, in Node and in browsers: asks again when the service is busy, and tells what is wrong.

/** A problem that the service answered with: `status`, `code`, `title`, `detail`, `request_id`. */
export class Problem extends Error {
  constructor(content) {
    super(`${content.title}: ${content.detail}`);
    this.name = "Problem";
    const { status, code, title, detail, request_id } = content;
    Object.assign(this, { status, code, title, detail, request_id });
  }
}

/**
 * The service's answer for `image`, a Blob or File. Rejects with a Problem if the service refuses it, with an Error if
 * something else answers or nobody does.
 *
 * `model` names one of several that are served. 429 and 503 are asked again when Retry-After says so, at most `attempts`
 * times and `seconds` in all.
 */
export async function classify(service, image, { key, topK, deadlineMs, model, attempts = 4, seconds = 30 } = {}) {
  const began = Date.now();
  const url = new URL(`${service.replace(/\/+$/, "")}/classify`);
  if (topK) url.searchParams.set("top_k", topK);
  if (model) url.searchParams.set("model", model);
  const headers = {};
  if (key) headers["Authorization"] = `Bearer ${key}`;
  if (deadlineMs) headers["X-Deadline-Ms"] = String(deadlineMs);
  const body = new FormData();
  body.append("image", image, "image");
  for (let attempt = 1; ; attempt += 1) {
    const response = await fetch(url, { method: "POST", headers, body, redirect: "error" });
    if (response.ok) return response.json();
    const asked = response.headers.get("Retry-After") ?? "never";
    const wait = Number(asked) * 1000 * (1 + Math.random() / 2); // not all clients at the same moment
    const mayPass = [429, 503].includes(response.status) && Number.isFinite(wait);
    if (!mayPass || attempt >= attempts || Date.now() - began + wait > seconds * 1000) {
      throw await describeFault(response);
    }
    await response.body?.cancel();
    await new Promise((resolve) => setTimeout(resolve, wait));
  }
}

async function describeFault(response) {
  const type = response.headers.get("Content-Type") ?? "";
  if (type.startsWith("application/problem+json")) return new Problem(await response.json());
  return new Error(`expected an answer of the service; found status ${response.status} of something else`);
}
