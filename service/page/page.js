/* What the page does: photos to the service one after the other, answers and reasons as cards. */
"use strict";
const at = (id) => document.getElementById(id);
const pause = (seconds) => new Promise((resolve) => setTimeout(resolve, 1000 * seconds));
const LARGE_BYTES = 2 ** 20;
const SHRUNK_SIDE = 1024;
const TRIES = 6;
const KEY = "bnn-service-key";
const FINAL = ["unsupported_format", "invalid_image", "too_large"];  /* is so of this photo for ever */
let key = "";
let onKey = [];
let queue = Promise.resolve();
let cards = [];

/* ---- the service */

try { key = sessionStorage.getItem(KEY) || ""; } catch { key = ""; }  /* storage may be forbidden */

function keep(given) {
  key = given;
  try {
    if (key) sessionStorage.setItem(KEY, key);
    else sessionStorage.removeItem(KEY);
  } catch { /* then the key is known until the page is left */ }
}

/* Empty parameters are left out. */
async function ask(path, parameters = {}, options = {}) {
  let response, image, answer;
  const given = Object.entries(parameters).filter(([, value]) => value !== "");
  const query = given.length ? `?${new URLSearchParams(given)}` : "";
  const used = key;
  const headers = used ? { "X-API-Key": used } : {};
  try {
    response = await fetch(path + query, { ...options, headers });
    const isImage = (response.headers.get("content-type") || "").startsWith("image");
    if (isImage) image = await response.blob();
    else answer = parse(await response.text());
  } catch (error) {
    return { fault: "The service does not answer: expected a connection; found none (" +
      error.message + "). See whether it runs and the network is there, then try again." };
  }
  if (response.ok && image) return { response, image };
  if (!answer) {
    return { fault: `Expected an answer of the service; found another, with status ${
      response.status}. Ask who runs what is between this page and the service.` };
  }
  if (response.ok) {
    at("access").hidden = true;
    return { response, answer };
  }
  if (response.status === 401) {
    if (used !== key) return ask(path, parameters, options);  /* another one was given meanwhile */
    keep("");
    at("access").hidden = false;
  }
  const wait = Number(response.headers.get("retry-after"));
  return { fault: `${answer.title}: ${answer.detail}`, code: answer.code, wait };
}

function parse(text) {
  try { return JSON.parse(text); } catch { return null; }
}

/* Asks until there is an answer or a fault that waiting does not mend. */
async function insist(path, parameters, makeBody, say) {
  for (let tries = 1; ; tries++) {
    const got = await ask(path, parameters, { method: "POST", body: makeBody() });
    if (!got.fault) return got;
    if (got.code === "unauthorized") {
      say("waits for an API key");
      await new Promise((resolve) => onKey.push(resolve));
    } else if (got.code === "not_ready") {
      say("waits: the model is still being loaded");
      tries = 0;
      await pause(1);
    } else if (got.wait && tries < TRIES) {
      const seconds = Math.min(got.wait, 30);
      say(`waits: the service is busy; asks again in ${seconds} s`);
      await pause(seconds);
    } else {
      return got;
    }
    say("looking …");
  }
}

at("access").addEventListener("submit", (event) => {
  event.preventDefault();
  keep(at("key").value);
  at("key").value = "";
  describe();
  for (const resolve of onKey.splice(0)) resolve();
});

/* ---- one photo */

const megabytes = (bytes) => (bytes / 1e6).toFixed(bytes < 1e6 ? 2 : 1) + " MB";

/* A smaller JPEG of a large photo, upright; the photo itself where that would be no smaller. */
async function shrink(file, always) {
  if (!always && file.size <= LARGE_BYTES) return { blob: file, note: "" };
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, { imageOrientation: "from-image" });
  } catch {
    return { blob: file, note: "" };  /* the service says what is wrong with it */
  }
  const { width, height } = bitmap;
  const spec = info ? info.model.preprocessing : { resize: 256, reduce: 2 };
  const side = Math.max(SHRUNK_SIDE, 2 * spec.resize * (spec.reduce || 1));
  const scale = Math.min(1, side / Math.min(width, height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(scale * width));
  canvas.height = Math.max(1, Math.round(scale * height));
  const context = canvas.getContext("2d");
  context.fillStyle = "#fff";  /* below what is transparent, as the service has it */
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  bitmap.close();
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.92));
  if (!blob || blob.size >= file.size) return { blob: file, note: "" };
  return { blob, note: `Shrunk here from ${width} × ${height}, ${megabytes(file.size)}, to ` +
    `${canvas.width} × ${canvas.height}, ${megabytes(blob.size)}, before it was sent.` };
}

class Card {
  constructor(file) {
    this.file = this.blob = file;
    this.name = file.name || "photo";
    this.shown = null;  /* index of the class whose map is shown */
    this.url = "";
    this.root = at("card").content.firstElementChild.cloneNode(true);
    this.find("h2").textContent = this.name;
    this.find("img").alt = this.name;
    this.find("img").onerror = () => { this.find("figure").hidden = true; };
    this.find(".why").onclick = () => this.explain(this.shown === null ? this.best : null);
    this.find(".again").onclick = () => this.enqueue();
    this.find(".remove").onclick = () => { this.remove(); tidy(); at("files").focus(); };
    this.root.setAttribute("aria-busy", "true");
  }

  find(selector) { return this.root.querySelector(selector); }

  say(text) { this.find(".state").textContent = text; }

  accuse(text) {
    this.find(".fault").textContent = text;
    this.find(".fault").hidden = !text;
  }

  show(blob) {
    URL.revokeObjectURL(this.url);
    this.url = URL.createObjectURL(blob);
    this.find("img").src = this.url;
    this.find("figure").hidden = false;
  }

  remove() {
    URL.revokeObjectURL(this.url);
    this.isGone = true;
    this.root.remove();
    cards = cards.filter((card) => card !== this);
  }

  enqueue() {
    if (this.isWaiting) return;
    this.isWaiting = true;
    this.accuse("");
    this.find(".again").hidden = true;
    this.say("waits for its turn");
    queue = queue.then(() => this.isGone || this.classify()).catch((error) => {
      this.end(`Expected an answer; found a fault of this page: ${error.message}. Load it anew.`);
    });
  }

  form() {
    const form = new FormData();
    form.append("image", this.blob, "image");
    return form;
  }

  async classify() {
    const say = (text) => this.say(text);
    this.isWaiting = false;
    this.model = chosen;
    this.asked = {};  /* a map of the model before comes too late */
    this.press(null, "");
    this.root.setAttribute("aria-busy", "true");
    say("looking …");
    try {
      await this.file.slice(0, 1).arrayBuffer();
    } catch {
      this.end("Expected a file; found a folder, or a file that cannot be read. Choose files.");
      return;
    }
    let { blob, note } = await shrink(this.file, false);
    this.blob = blob;
    this.show(blob);
    let parameters = { model: this.model, certainty };
    let got = await insist("classify", parameters, () => this.form(), say);
    if (got.code === "no_hierarchy") {  /* another bundle is served meanwhile */
      await describe();
      parameters = { model: this.model };
      got = await insist("classify", parameters, () => this.form(), say);
    }
    if (!info || got.code === "model_not_found") await describe();
    if (got.code === "too_large" && this.blob === this.file) {
      ({ blob, note } = await shrink(this.file, true));
      this.blob = blob;
      if (blob !== this.file) {
        got = await insist("classify", parameters, () => this.form(), say);
      }
    }
    this.end(got.fault || "", FINAL.includes(got.code));
    if (!got.fault) this.answer(got.answer, note);
  }

  end(fault, isFinal = false) {
    this.root.setAttribute("aria-busy", "false");
    this.say("");
    this.accuse(fault);
    this.find(".again").hidden = !fault || isFinal;
    if (fault) {  /* what another model said is no answer of this one */
      this.doubt(false);
      this.hedge("");
      this.find("ol").replaceChildren();
      this.find(".why").hidden = true;
      this.find(".times").textContent = "";
    }
  }

  /* Says that the photo probably shows none of the labels, or takes it back. */
  doubt(isNone) {
    this.find(".none").hidden = !isNone;
    this.root.classList.toggle("is-none", isNone);
  }

  /* Says what is certain enough, or nothing of it. */
  hedge(text) {
    this.find(".hedged").textContent = text;
    this.find(".hedged").hidden = !text;
  }

  answer({ predictions, known, notice, hedged, timings_ms: ms, engine, image, model }, note) {
    const explains = Boolean(info && info.engine.explains);
    const [best] = predictions;
    this.best = best.index;
    this.find("ol").replaceChildren(...predictions.map((item) => this.row(item, explains)));
    this.find(".why").hidden = !explains;
    this.find(".times").textContent = `${this.model ? `${model.name}, ` : ""}${engine}: decode ${ms.decode.toFixed(1)}, network ` +
      `${ms.infer.toFixed(1)}, altogether ${ms.total.toFixed(1)}\u00a0ms. ` +
      `${image.format}, ${image.width}\u00a0×\u00a0${image.height}.` +
      (known === undefined ? "" : ` Likely to show one of the labels: ${percent(known)}.`);
    this.find("figcaption").textContent = this.note = note;
    const score = percent(best.score);
    this.doubt(Boolean(notice));
    const words = hedged ? describeHedged(hedged, Boolean(notice)) : "";
    this.hedge(words);
    at("said").textContent = `${this.name}: ${notice ? `${notice} The best: ` : ""}${
      best.label}, ${score}${words && `. ${words}`}`;
    if (model.notice) this.accuse(model.notice);
  }

  row(item, explains) {
    const row = document.createElement(explains ? "button" : "div");
    const [bar, label, score] = ["i", "span", "span"].map((tag) => document.createElement(tag));
    row.className = "row";
    bar.style.width = `${100 * item.score}%`;
    label.textContent = item.label;
    score.textContent = percent(item.score);
    row.append(bar, label, score);
    if (explains) {
      row.type = "button";
      row.dataset.index = item.index;
      row.title = `Show what speaks for ${item.label}`;
      row.setAttribute("aria-pressed", "false");
      row.onclick = () => this.explain(this.shown === item.index ? null : item.index);
    }
    const line = document.createElement("li");
    line.append(row);
    return line;
  }

  /* Shows the class activation map of a class, or the photo again. */
  async explain(index) {
    const mine = this.asked = {};
    this.accuse("");
    if (index === null) {
      this.press(null, "");
      this.show(this.blob);
      return;
    }
    const parameters = { explain: "cam", class: index, model: this.model };
    const got = await insist("classify", parameters, () => this.form(), (text) => this.say(text));
    if (mine !== this.asked) return;
    this.say("");
    if (got.fault) {
      this.accuse(got.fault);
      return;
    }
    const label = decodeURIComponent(got.response.headers.get("x-class-label"));
    this.press(index, `What the network saw, in grey. Yellow: what spoke most for “${label
      }”; dark: what did not.`);
    this.show(got.image);
    at("said").textContent = `${this.name}: shows what speaks for ${label}`;
  }

  press(index, caption) {
    this.shown = index;
    this.find("figcaption").textContent = caption || this.note || "";
    this.find("img").alt = index === null ? this.name : `${this.name}: ${caption}`;
    this.find(".why").setAttribute("aria-pressed", String(index !== null));
    for (const row of this.root.querySelectorAll("button.row")) {
      row.setAttribute("aria-pressed", String(Number(row.dataset.index) === index));
    }
  }
}

const percent = (score) => (100 * score).toFixed(1) + " %";

/* ---- ways in */

function warn(text) {
  at("notice").textContent = text;
  at("notice").hidden = !text;
}

function tidy() { at("clear").hidden = cards.length === 0; }

function take(files) {
  const photos = [...files];
  warn("");
  const added = photos.map((file) => new Card(file));
  cards.push(...added);
  at("results").prepend(...added.map((card) => card.root));
  for (const card of added) card.enqueue();
  tidy();
}

for (const id of ["files", "capture"]) {
  at(id).addEventListener("change", (event) => {
    take(event.target.files);
    event.target.value = "";
  });
}
addEventListener("dragover", (event) => { event.preventDefault(); at("drop").classList.add("over"); });
addEventListener("dragleave", () => at("drop").classList.remove("over"));
addEventListener("drop", (event) => {
  event.preventDefault();
  at("drop").classList.remove("over");
  const { files } = event.dataTransfer;
  if (files.length) take(files);
  else warn("Expected image files; found something else. Save the photo as a file, and drop that.");
});
addEventListener("paste", (event) => {
  const { files } = event.clipboardData;
  if (files.length) take(files);
  else if (event.target.id !== "key") {
    warn("Expected an image in the clipboard; found none. Copy an image, not its address.");
  }
});
at("clear").addEventListener("click", () => {
  for (const card of [...cards]) card.remove();
  tidy();
  at("files").focus();
});
