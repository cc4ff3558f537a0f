// The API's document, rendered: every route with its parameters, bodies and answers.
import { h, render } from "./vendor/preact.mjs";
import { base, get, html, useEffect, useState } from "./lib.js";

document.documentElement.lang = "en"; // the document is, so all around it is
document.documentElement.dataset.theme = localStorage.getItem("theme") ?? "auto";

const typeOf = (schema) => {
  if (!schema) return "";
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.anyOf) return schema.anyOf.map(typeOf).join(" | ");
  if (schema.type === "array") return `[${typeOf(schema.items)}]`;
  if (schema.enum) return schema.enum.join(" | ");
  return schema.format ?? schema.type ?? "object";
};

const whole = (schema, document) => (schema?.$ref ? document.components.schemas[schema.$ref.split("/").pop()] : schema);

/** A value of this kind: its example, of an object with the members that must be there. */
function example(schema, document) {
  const found = whole(schema, document) ?? {};
  if (found.examples || found.default != null) return found.examples?.[0] ?? found.default;
  if (found.anyOf) return example(found.anyOf[0], document);
  if (found.properties) return Object.fromEntries((found.required ?? []).map((name) => [name, example(found.properties[name], document)]));
  if (found.type === "array") return [example(found.items, document)];
  return found.enum?.[0] ?? { integer: found.minimum ?? 0, number: 0, boolean: false }[found.type] ?? "…";
}

/** The request as a line for a shell, to be copied. */
const curl = ({ path, method, body, document }) =>
  [`curl -H "X-API-Key: $KEY"`, method === "get" ? "" : `-X ${method.toUpperCase()}`, body && `--json '${JSON.stringify(example(body, document)).replaceAll("'", "'\\''")}'`, `"${location.origin}${base}${path}"`].filter(Boolean).join(" ");

const Members = ({ schema, document }) => {
  const found = whole(schema, document);
  const items = found?.items?.$ref ? whole(found.items, document) : found;
  if (!items?.properties) return html`<p><code>${typeOf(schema)}</code> ${found?.description}</p>`;
  return html`<p><code>${typeOf(schema)}</code> ${items.description}</p><div class="scroll" tabindex="0" role="group" aria-label=${typeOf(schema)}><table><tbody>${Object.entries(items.properties).map(
    ([name, value]) => html`<tr><th scope="row"><code>${name}</code>${items.required?.includes(name) ? " *" : ""}</th><td><code>${typeOf(value)}</code></td><td>${value.description}</td></tr>`,
  )}</tbody></table></div>`;
};

function Route({ path, method, route, document }) {
  const [open, setOpen] = useState(false);
  const body = route.requestBody?.content?.["application/json"]?.schema;
  return html`<details class="route" onToggle=${(event) => setOpen(event.target.open)}><summary><b class=${`verb ${method}`}>${method.toUpperCase()}</b> <code>${path}</code> <span>${route.summary}</span></summary>
    ${open && html`<p>${route.description}</p>
      <pre>${curl({ path, method, body, document })}</pre>
      ${route.parameters && html`<h3>Parameters</h3><div class="scroll" tabindex="0" role="group" aria-label="Parameters"><table><tbody>${route.parameters.map((one) => html`<tr><th scope="row"><code>${one.name}</code>${one.required ? " *" : ""}</th><td>${one.in}</td><td><code>${typeOf(one.schema)}</code></td><td>${one.description}</td></tr>`)}</tbody></table></div>`}
      ${body && html`<h3>Body</h3><${Members} schema=${body} document=${document} />`}
      <h3>Answers</h3>${Object.entries(route.responses).map(([status, answer]) => html`<details><summary><b>${status}</b> ${answer.description}</summary>${Object.values(answer.content ?? {}).map((one) => html`<${Members} schema=${one.schema} document=${document} />`)}</details>`)}`}
  </details>`;
}

function Docs() {
  const [document_, setDocument] = useState(null);
  const [trouble, setTrouble] = useState("");
  const [text, setText] = useState("");
  useEffect(() => {
    get("/api/v0/openapi.json").then(setDocument, (error) => setTrouble(error.message));
  }, []);
  if (!document_) return html`<main class="docs" aria-busy=${!trouble}><p>${trouble} ${trouble && html`<a href=${`${base}/`}>Log in</a>`}</p></main>`;
  const groups = new Map();
  for (const [path, item] of Object.entries(document_.paths))
    for (const [method, route] of Object.entries(item)) {
      if (text && !`${path} ${route.summary}`.toLowerCase().includes(text.toLowerCase())) continue;
      const tag = route.tags?.[0] ?? "";
      groups.set(tag, [...(groups.get(tag) ?? []), { path, method, route }]);
    }
  return html`<main class="docs"><p><a href=${`${base}/`}>Shoal</a></p><h1>${document_.info.title} API ${document_.info.version}</h1>
    ${document_.info.description.split("\n\n").map((part) => html`<p>${part}</p>`)}
    <p><a href=${`${base}/api/v0/openapi.json`} download>openapi.json</a></p>
    <input type="search" aria-label="Search" placeholder="Search" value=${text} onInput=${(event) => setText(event.target.value)} />
    ${[...groups].map(([tag, routes]) => html`<section><h2>${tag}</h2>${routes.map((one) => html`<${Route} key=${one.method + one.path} ...${one} document=${document_} />`)}</section>`)}</main>`;
}

render(h(Docs), document.getElementById("app"));
