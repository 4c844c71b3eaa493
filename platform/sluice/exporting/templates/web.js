"use strict";
/* Forecasts by a served model in a browser: raw rows in, held to the contract, forecasts out; nothing leaves the page.
   The rules are those of the server (sluice.serving.row_schema), so that both say the same of a row. */
(() => {
  const ABSENT = "\uffff";
  const NO_MOMENT = -(2n ** 63n);
  const TIME = /^(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,6})\d*)?)?(Z|[+-]\d\d:?\d\d)?)?$/i;
  const { served, graph } = window.sluiceModel;
  const moment = (field) => field.type === "timestamp" || field.type === "date";

  class Wrong extends Error {}

  const shown = (value) => {
    const text = JSON.stringify(value) ?? String(value);
    return text.length <= 60 ? text : `${text.slice(0, 60)}…`;
  };

  /* What a field shall hold, in the words of the server. */
  const wanted = (field) => {
    if (field.values) {
      const more = field.values.length > 10 ? ` and ${field.values.length - 10} more` : "";
      return `one of ${[...field.values].sort().slice(0, 10).join(", ")}${more}`;
    }
    const between = field.range ? ` from ${field.range[0]} to ${field.range[1]}` : "";
    const word = { string: "a text", int64: "a whole number", float64: "a number", bool: "true or false" }[field.type];
    return `${word ?? (field.type === "date" ? "a date" : "a time")}${between}${field.unit ? ` in ${field.unit}` : ""}`;
  };

  const readText = (field, given) => {
    if (typeof given !== "string") throw new Wrong(`is ${shown(given)}, which is no text`);
    if (field.values && !field.values.includes(given)) {
      throw new Wrong(`is ${shown(given)}, which is not ${wanted(field)}`);
    }
    return given;
  };

  const readNumber = (field, given) => {
    if (field.type === "bool") {
      if (given === true || given === false) return Number(given);
      throw new Wrong(`is ${shown(given)}, which is neither true nor false`);
    }
    if (typeof given !== "number" || !Number.isFinite(given)) throw new Wrong(`is ${shown(given)}, which is no number`);
    if (field.type === "int64" && given !== Math.floor(given)) throw new Wrong(`is ${given}, which is not whole`);
    if (field.range && !(field.range[0] <= given && given <= field.range[1])) {
      throw new Wrong(`is ${given}, which is not ${wanted(field)}`);
    }
    if (field.values && !field.values.some((text) => Number(text) === given)) {
      throw new Wrong(`is ${given}, which is not ${wanted(field)}`);
    }
    return given;
  };

  /* Microseconds since 1970; a time without a zone is in UTC. */
  const readMoment = (field, given) => {
    const parts = typeof given === "string" ? TIME.exec(given.trim()) : null;
    const wrong = new Wrong(`is ${shown(given)}, which is no time; write it like 2026-03-01T14:00:00Z`);
    if (!parts) throw wrong;
    const [year, month, day, hour, minute, second] = parts.slice(1, 7).map((part) => Number(part ?? 0));
    const at = new Date(0);
    at.setUTCFullYear(year, month - 1, day);
    const real = at.getUTCMonth() === month - 1 && at.getUTCDate() === day && hour < 24 && minute < 60 && second < 60;
    if (!real) throw wrong;
    at.setUTCHours(hour, minute, second);
    const zone = /^([+-])(\d\d):?(\d\d)$/.exec(parts[8] ?? "");
    const ahead = zone ? Number(`${zone[1]}1`) * (Number(zone[2]) * 60 + Number(zone[3])) : 0;
    return BigInt(at.getTime() - ahead * 60000) * 1000n + BigInt((parts[7] ?? "").padEnd(6, "0") || 0);
  };

  const reader = (field) => (field.type === "string" ? readText : moment(field) ? readMoment : readNumber);
  const blank = (field) => (field.type === "string" ? ABSENT : moment(field) ? NO_MOMENT : NaN);

  const valueOf = (field, given) => {
    if (given === null || given === undefined) {
      if (field.nullable) return blank(field);
      throw new Wrong("is missing");
    }
    return reader(field)(field, given);
  };

  const tensor = (field, values) => {
    if (field.type === "string") return new ort.Tensor("string", values, [values.length]);
    if (moment(field)) return new ort.Tensor("int64", BigInt64Array.from(values), [values.length]);
    return new ort.Tensor("float64", Float64Array.from(values), [values.length]);
  };

  /* Rows as the graph takes them, or a list of what is wrong with them. */
  const columns = (rows) => {
    const feeds = {};
    const problems = [];
    for (const field of served.fields) {
      const values = rows.map((row, place) => {
        try {
          return valueOf(field, row[field.name]);
        } catch (error) {
          if (!(error instanceof Wrong)) throw error;
          problems.push({ row: place, field: field.name, message: `${field.name} ${error.message}` });
          return blank(field);
        }
      });
      feeds[`in:${field.name}`] = tensor(field, values);
    }
    return { feeds, problems };
  };

  const unpacked = async (text) => {
    const packed = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  };

  const open = async () => {
    const { glue, wasm } = window.sluiceMachine;
    ort.env.wasm.numThreads = 1;
    ort.env.wasm.wasmBinary = (await unpacked(wasm)).buffer;
    ort.env.wasm.wasmPaths = { mjs: URL.createObjectURL(new Blob([glue], { type: "text/javascript" })) };
    return ort.InferenceSession.create(await unpacked(graph), { executionProviders: ["wasm"] });
  };
  let session = null;

  const answers = (values, rows) => {
    const width = values.length / rows;
    const classes = served.classes ?? [];
    return Array.from({ length: rows }, (_, row) => {
      const said = Array.from(values.subarray(row * width, (row + 1) * width));
      if (!classes.length) return { prediction: said[0] };
      const most = said.indexOf(Math.max(...said));
      const called = served.threshold === undefined ? most : Number(said[1] >= served.threshold);
      return { prediction: classes[called], probabilities: Object.fromEntries(classes.map((c, n) => [c, said[n]])) };
    });
  };

  /* Forecast raw rows: answers as the server's `forecasts`, or the problems of the rows. */
  const forecast = async (rows) => {
    const { feeds, problems } = columns(rows);
    if (problems.length) return { problems };
    session ??= open();
    const found = await (await session).run(feeds);
    return { forecasts: answers(Object.values(found)[0].data, rows.length) };
  };

  /* The form. */
  const made = (name, properties, ...inside) => {
    const element = Object.assign(document.createElement(name), properties);
    element.append(...inside);
    return element;
  };

  const choices = (field) => (field.type === "bool" ? ["true", "false"] : field.values);

  const control = (field) => {
    const common = { name: field.name, id: `field-${field.name}` };
    if (choices(field)) {
      return made("select", common, made("option", { value: "" }, field.nullable ? "(missing)" : "(choose)"),
        ...choices(field).map((value) => made("option", { value }, value)));
    }
    if (field.type === "date") return made("input", { ...common, type: "date" });
    if (field.type === "string") return made("input", { ...common, type: "text" });
    if (field.type === "timestamp") {
      return made("input", { ...common, type: "text", placeholder: "2026-03-01T14:00:00Z" });
    }
    const [min, max] = field.range ?? ["", ""];
    return made("input", { ...common, type: "number", step: field.type === "int64" ? "1" : "any", min, max });
  };

  const hint = (field) => {
    const range = field.range ? `${field.range[0]} to ${field.range[1]}` : "";
    return [range, field.unit, field.nullable ? "may be left empty" : ""].filter(Boolean).join(", ");
  };

  const given = (field, text) => {
    if (text === "") return null;
    if (field.type === "string" || moment(field)) return text;
    return field.type === "bool" ? text === "true" : Number(text);
  };

  const answered = (answer) => {
    if (!answer.probabilities) return [made("strong", {}, String(Number(answer.prediction.toPrecision(6))))];
    const lines = Object.entries(answer.probabilities).map(([name, share]) =>
      made("tr", {}, made("td", {}, name), made("td", {}, `${(100 * share).toFixed(1)} %`),
        made("td", {}, made("meter", { min: 0, max: 1, value: share }))));
    return [made("strong", {}, answer.prediction), made("table", {}, made("tbody", {}, ...lines))];
  };

  const show = async (form) => {
    const row = Object.fromEntries(served.fields.map((field) => [field.name, given(field, form[field.name].value)]));
    for (const old of form.querySelectorAll(".wrong")) old.remove();
    for (const each of form.elements) each.removeAttribute("aria-invalid");
    const place = document.getElementById("answer");
    place.replaceChildren("…");
    const { problems, forecasts } = await forecast([row]);
    place.replaceChildren(...(forecasts ? answered(forecasts[0]) : []));
    for (const problem of problems ?? []) {
      const wrong = form.elements.namedItem(problem.field);
      wrong.setAttribute("aria-invalid", "true");
      wrong.after(made("p", { className: "wrong" }, problem.message));
    }
  };

  const form = document.getElementById("row");
  form?.append(
    ...served.fields.map((field) => made("label", { title: field.description ?? "" }, field.name, " ",
      made("small", {}, hint(field)), control(field))),
    made("button", { type: "submit" }, "Forecast"),
  );
  form?.addEventListener("submit", (event) => {
    event.preventDefault();
    show(form).catch((error) => document.getElementById("answer").replaceChildren(`error: ${error.message}`));
  });
  window.sluice = { forecast, served };
})();
