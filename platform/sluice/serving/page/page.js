"use strict";
// The page asks its own server alone: what fields there are (v1/model), then what the model says of a row (v1/predict).
// Every text from the server becomes text, never markup.

const place = (id) => document.getElementById(id);
let token = "";

async function ask(path, body) {
  const headers = token ? { authorization: `Bearer ${token}` } : {};
  if (body) headers["content-type"] = "application/json";
  const sent = { method: body ? "POST" : "GET", headers, body: body && JSON.stringify(body), credentials: "omit" };
  const answer = await fetch(path, sent);
  return { status: answer.status, body: await answer.json() };
}

function made(tag, properties, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

function told(field) {
  const words = [];
  if (field.shape) words.push(`a PNG file, ${field.shape[0]} x ${field.shape[1]} ${field.shape[2] === 1 ? "grey" : "colour"}`);
  if (field.description) words.push(field.description);
  if (field.unit) words.push(`in ${field.unit}`);
  if (field.range) words.push(`from ${field.range[0]} to ${field.range[1]}`);
  if (field.later) words.push("known only after the row's moment: leave it empty");
  else if (field.nullable) words.push("may be left empty");
  return words.join("; ");
}

function control(field, number, example) {
  const id = `field-${number}`;
  const options = field.values ?? (field.type === "bool" ? ["true", "false"] : null);
  let input;
  if (field.type === "image") {
    input = made("input", { id, type: "file", accept: "image/png" });
  } else if (options) {
    input = made("select", { id });
    if (field.nullable) input.append(made("option", { value: "", textContent: "" }));
    for (const value of options) input.append(made("option", { value, textContent: value }));
  } else {
    input = made("input", { id, type: "text", autocomplete: "off", spellcheck: false });
    if (field.type === "int64" || field.type === "float64") input.inputMode = "decimal";
  }
  if (field.type !== "image") input.value = String(example ?? "");
  const hint = made("span", { id: `${id}-hint`, className: "hint", textContent: told(field) });
  const wrong = made("span", { id: `${id}-wrong`, className: "wrong" });
  input.setAttribute("aria-describedby", `${id}-hint ${id}-wrong`);
  const label = made("label", { htmlFor: id, textContent: field.name });
  return made("div", { className: "field" }, label, input, hint, wrong);
}

// What a field holds as JSON: a number where it is one; else the text itself, for the server says what is wrong with it.
function value(field, text) {
  if (text === "") return null;
  if (field.type === "bool") return text === "true" ? true : text === "false" ? false : text;
  if (field.type !== "int64" && field.type !== "float64") return text;
  const number = Number(text.trim());
  return text.trim() !== "" && Number.isFinite(number) ? number : text;
}

// A file as a text: data:image/png;base64,…
function read(file) {
  return new Promise((resolve, reject) => {
    const reader = Object.assign(new FileReader(), { onload: () => resolve(reader.result), onerror: () => reject(reader.error) });
    reader.readAsDataURL(file);
  });
}

async function held(field, input) {
  if (field.type !== "image") return value(field, input.value);
  return input.files.length ? read(input.files[0]) : null;
}

function percent(share) {
  return `${(100 * share).toFixed(1)} %`;
}

function showForecast(answer, model) {
  const forecast = answer.forecasts[0];
  const parts = [made("h2", { textContent: `${model.label}: ${forecast.prediction}` })];
  if (forecast.probabilities) {
    const body = made("tbody", {});
    for (const [name, share] of Object.entries(forecast.probabilities)) {
      const meter = made("meter", { min: 0, max: 1, value: share });
      meter.setAttribute("aria-label", `${name}: ${percent(share)}`);
      body.append(made("tr", {}, made("th", { scope: "row", textContent: name }), made("td", {}, meter),
        made("td", { textContent: percent(share) })));
    }
    parts.push(made("table", {}, body));
  }
  parts.push(made("p", { className: "muted", textContent: `request ${answer.request}` }));
  place("answer").replaceChildren(...parts);
}

function showRefusal(answer, fields) {
  place("answer").replaceChildren(made("h2", { textContent: "Not answered" }), made("p", { textContent: answer.detail }));
  for (const problem of answer.problems ?? []) {
    const number = fields.findIndex((field) => field.name === problem.field);
    if (number >= 0) place(`field-${number}-wrong`).textContent = problem.message;
  }
}

function showForm(model) {
  document.title = model.model;
  place("question").textContent = model.question;
  const rows = model.parity.rows.toLocaleString("en");
  place("about").textContent = `${model.model}, digest ${model.digest.slice(0, 12)}; ` +
    `its forecasts of ${rows} test rows are within ${model.parity.largest_difference.toExponential(1)} of the judged model's`;
  const fields = model.fields;
  place("fields").replaceChildren(...fields.map((field, number) => control(field, number, model.example[field.name])));
  place("row").hidden = false;
  place("row").onsubmit = async (event) => {
    event.preventDefault();
    const row = {};
    try {
      for (const [number, field] of fields.entries()) {
        place(`field-${number}-wrong`).textContent = "";
        row[field.name] = await held(field, place(`field-${number}`));
      }
      const { status, body } = await ask("v1/predict", { rows: [row] });
      if (status === 200) showForecast(body, model);
      else showRefusal(body, fields);
    } catch (error) {
      showRefusal({ detail: `The server did not answer (${error.message}).` }, fields);
    }
    place("answer").hidden = false;
  };
}

async function open() {
  try {
    const { status, body } = await ask("v1/model");
    place("entry").hidden = status !== 401;
    if (status === 200) showForm(body);
    else place("about").textContent = status === 401 && !token ? "" : body.detail;
  } catch (error) {
    place("about").textContent = `The server did not answer (${error.message}).`;
  }
}

place("entry").onsubmit = (event) => {
  event.preventDefault();
  token = place("token").value.trim();
  place("token").value = "";
  open();
};
open();
