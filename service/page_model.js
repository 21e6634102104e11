/* What the page says of the model, and the choice where several are served. */
let info = null;  /* of the default, once it is known */
let models = [];  /* those that are served, where there are several */
let chosen = "";  /* the name of one of them; else the service decides */
let describing = 0;  /* the timer of the next attempt */

/* Asks again for as long as waiting helps. */
async function describe() {
  const line = at("model");
  clearTimeout(describing);
  const { fault, code, answer } = await ask("info");
  if (fault) {
    line.textContent = fault;
    clearTimeout(describing);
    if (code === "not_ready") describing = setTimeout(describe, 1000);
    else if (code !== "unauthorized" && code !== "no_engine") describing = setTimeout(describe, 5000);
    return;
  }
  info = answer;
  await listModels();
  showFacts();
}

/* Fills the choice; it stays hidden where one model is served, or a service has no list of them. */
async function listModels() {
  const { answer } = await ask("models");
  const listed = answer && Array.isArray(answer.models) ? answer.models : [];
  models = listed.length > 1 ? listed : [];
  at("choice").hidden = models.length === 0;
  if (!models.some(({ name }) => name === chosen)) {
    chosen = models.length ? (models.find((item) => item.default) || models[0]).name : "";
  }
  at("models").replaceChildren(...models.map((item) => {
    const option = makeElement("option", item.default ? `${item.name} (default)` : item.name);
    option.value = item.name;
    option.selected = item.name === chosen;
    return option;
  }));
}

/* What is known of a model: of the default all, of another what the list of models has. */
function describeModel(name) {
  const found = models.find((item) => item.name === name) || { default: true };
  if (found.default) return info;
  return { model: found, engine: found.engine, self_test: found.self_test };
}

function showFacts() {
  const { model, engine, self_test: test } = describeModel(chosen);
  const line = at("model");
  const by = engine ? `, ${engine.name}/${engine.implementation}` : "";
  line.textContent = `${model.name}, ${model.classes} classes${by}. `;
  if (!model.trained) line.append(makeElement("b", "Untrained: the labels mean nothing."));
  at("classes").textContent = model.classes;
  at("labels").replaceChildren(...model.labels.map((label) => makeElement("li", label)));
  const record = model.training && model.training.accuracy;
  const [, height, width] = model.input.shape;
  const facts = {
    Name: `${model.name} (${model.id})`,
    Accuracy: record ? describeAccuracy(record) : "not measured",
    Sees: `${width} × ${height} pixels from the middle of the photo`,
    Engine: engine && `${engine.name}/${engine.implementation}, ${engine.threads} threads at most`,
    "Self-test": test && test.verdict,
    Size: engine && megabytes(engine.model_bytes),
    Limits: `${megabytes(info.limits.max_body_bytes)} a photo`,
    Version: info.versions.service,
  };
  at("facts").replaceChildren(...Object.entries(facts).filter(([, value]) => value).flatMap(
    ([name, value]) => [makeElement("dt", name), makeElement("dd", value)]));
  at("knows").hidden = at("about").hidden = false;
}

/* Another model: its facts, and what it makes of the photos that are here. */
at("models").addEventListener("change", (event) => {
  chosen = event.target.value;
  showFacts();
  for (const card of cards) card.enqueue();
});

function makeElement(tag, text) {
  const element = document.createElement(tag);
  element.textContent = text;
  return element;
}

function describeAccuracy({ top1, top5, images }) {
  const five = top5 ? `; ${top5.toFixed(1)} % among the first five` : "";
  return `${top1.toFixed(1)} % of ${images} test photos right${five}`;
}

describe();
