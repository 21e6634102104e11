/* What the page says of the model, and the choice where several are served. */
let info = null;  /* of the model that is asked, once it is known */
let certainty = "";  /* that hedged answers must have; empty: there are none */
let chosen = "";  /* its name where there are several; else the service decides */
let describing = 0;  /* the timer of the next attempt */

/* Asks again for as long as waiting helps. */
async function describe() {
  const asked = chosen;
  clearTimeout(describing);
  const { fault, code, answer } = await ask("info", { model: asked });
  if (asked !== chosen) return;  /* another one was chosen meanwhile */
  if (code === "model_not_found" && chosen) {
    chosen = "";
    await describe();
  } else if (fault) {
    at("model").textContent = fault;
    clearTimeout(describing);
    if (code === "not_ready") describing = setTimeout(describe, 1000);
    else if (code !== "unauthorized" && code !== "no_engine") describing = setTimeout(describe, 5000);
  } else {
    info = answer;
    listCertainties();
    await listModels();
    showFacts();
  }
}

/* Fills the choice; it stays hidden where one model is served, or a service has no list of them. */
async function listModels() {
  const { answer } = await ask("models");
  const listed = answer && Array.isArray(answer.models) ? answer.models : [];
  at("choice").hidden = listed.length < 2;
  if (listed.length < 2) chosen = "";
  else if (!chosen) chosen = info.model.name;
  at("models").replaceChildren(...listed.map(({ name, is_default: isDefault }) => {
    const option = makeElement("option", isDefault ? `${name} (default)` : name);
    option.value = name;
    option.selected = name === chosen;
    return option;
  }));
}

/* Fills the choice of how sure to be; it stays hidden for a model whose answers cannot be hedged. */
function listCertainties() {
  const { hierarchy } = info.model;
  const levels = hierarchy ? hierarchy.certainties.map(String) : [];
  if (!levels.includes(certainty)) certainty = "";
  at("surety").hidden = !levels.length;
  at("certainties").replaceChildren(...["", ...levels].map((level) => {
    const text = level ? `right in ${tell(level)} of answers` : "just the best guess";
    const option = makeElement("option", text);
    option.value = level;
    option.selected = level === certainty;
    return option;
  }));
}

const tell = (level) => `${+(100 * level).toFixed(4)} %`;

/* "An animal, which one is uncertain": a hedged answer as a sentence. */
function describeHedged({ label, phrase, score, covers, certainty: level }, isNone) {
  const enough = `certain enough to be right in ${tell(level)} of answers`;
  if (phrase === null) return sentence(`${label}: ${enough}`, isNone);
  if (covers === info.model.classes) return `Nothing is ${enough}.`;
  const which = /^an? /.test(phrase) ? "one" : "kind";
  return sentence(`${phrase}, which ${which} is uncertain (${percent(score)})`, isNone);
}

const sentence = (text, isNone) => isNone ? `If it is one of them: ${text}.` :
  `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;

function showFacts() {
  const { model, engine, self_test: test, versions } = info;
  const line = at("model");
  line.textContent = `${model.name}, ${model.classes} classes, ` +
    `${engine.name}/${engine.implementation}. `;
  if (!model.trained) line.append(makeElement("b", "Untrained: the labels mean nothing."));
  at("classes").textContent = model.classes;
  at("otherwise").textContent = model.known ?
    "It ranks these, and says so where a photo probably shows none of them." :
    "It answers with one of these, whatever the photo shows.";
  at("labels").replaceChildren(...model.labels.map((label) => makeElement("li", label)));
  const record = model.training && model.training.accuracy;
  const [, height, width] = model.input.shape;
  const facts = {
    Name: `${model.name} (${model.id})`,
    Accuracy: record ? describeAccuracy(record) : "not measured",
    Sees: `${width} × ${height} pixels from the middle of the photo`,
    Engine: `${engine.name}/${engine.implementation}, ${engine.threads} threads at most`,
    "Self-test": test.verdict,
    Size: megabytes(engine.model_bytes),
    Limits: `${megabytes(info.limits.max_body_bytes)} a photo`,
    Version: versions.service,
  };
  at("facts").replaceChildren(...Object.entries(facts).flatMap(
    ([name, value]) => [makeElement("dt", name), makeElement("dd", value)]));
  at("knows").hidden = at("about").hidden = false;
}

/* Another model: its facts, and what it makes of the photos that are here. */
at("models").addEventListener("change", async (event) => {
  chosen = event.target.value;
  await describe();
  for (const card of cards) card.enqueue();
});

at("certainties").addEventListener("change", (event) => {
  certainty = event.target.value;
  for (const card of cards) card.enqueue();
});

function makeElement(tag, text) {
  const element = document.createElement(tag);
  element.textContent = text;
  return element;
}

function describeAccuracy({ split, top1, top5, images, classes_shown: shown }) {
  const five = top5 ? `; ${top5.toFixed(1)} % among the first five` : "";
  const photos = split === "validation" ? "validation photos" : "test photos";
  const some = shown ? `, which show ${shown} of its classes` : "";
  return `${top1.toFixed(1)} % of ${images} ${photos} right${five}${some}`;
}

describe();
