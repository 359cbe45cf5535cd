// The OpenAPI document as a page: each route, its parameters, and what it answers.

const $ = id => document.getElementById(id);
const make = (name, text, ...children) => {
  const made = document.createElement(name);
  if (text) made.textContent = text;
  made.append(...children);
  return made;
};

function kind(schema, known) {
  if (schema.$ref) return kind(known[schema.$ref.split("/").pop()], known);
  if (schema.anyOf) return schema.anyOf.map(s => kind(s, known)).join(" or ");
  if (schema.enum) return schema.enum.map(v => JSON.stringify(v)).join(", ");
  const bounds = [["minimum", "at least "], ["maximum", "at most "], ["maxLength", "at most ", " characters"]]
    .filter(([name]) => name in schema).map(([name, before, after = ""]) => before + schema[name] + after);
  const type = schema.format === "binary" ? "file" : schema.type ?? "any";
  return [schema.const !== undefined ? JSON.stringify(schema.const) : type, ...bounds].join(", ");
}

function table(schema, known) {
  const rows = Object.entries(schema.properties ?? {}).map(([name, field]) => {
    const optional = (field.default ?? null) === null ? "optional" : `default ${JSON.stringify(field.default)}`;
    const needed = schema.required?.includes(name) ? "required" : optional;
    return make("tr", "", make("td", "", make("code", name)), make("td", kind(field, known)),
                make("td", [needed, field.description].filter(Boolean).join("; ")));
  });
  return make("table", "", ...rows);
}

function section(path, method, route, known) {
  const parts = [make("h2", `${method.toUpperCase()} ${path}`), make("p", (route.description ?? route.summary).replaceAll("`", ""))];
  const bodies = Object.values(route.requestBody?.content ?? {});
  for (const {schema} of bodies) parts.push(table(schema.$ref ? known[schema.$ref.split("/").pop()] : schema, known));
  const answers = Object.entries(route.responses ?? {}).map(([code, r]) => `${code} ${r.description}`);
  parts.push(make("p", `Answers: ${answers.join("; ")}.`));
  return make("section", "", ...parts);
}

async function load() {
  const key = $("key").value;
  const answer = await fetch("openapi.json", {headers: key ? {Authorization: `Bearer ${key}`} : {}});
  $("keyed").hidden = answer.status !== 401 && !key;
  if (!answer.ok) { $("status").textContent = (await answer.json()).error.message; return; }
  const document_ = await answer.json(), known = document_.components?.schemas ?? {};
  $("status").textContent = `${document_.info.title} ${document_.info.version}: ${document_.info.summary}`;
  $("routes").replaceChildren(...Object.entries(document_.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, route]) => section(path, method, route, known))));
}

$("key").addEventListener("change", load);
load();
