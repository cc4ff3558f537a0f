// Parts of the views that are loaded when they are opened.
import { attempt, can, html, t, useEffect, useId, useLayoutEffect, useMemo, useRef, useState } from "./lib.js";
import { Button, Icon } from "./ui.js";

/** A part of a view, called by its heading. */
export function Section({ title, children, ...rest }) {
  const id = useId();
  return html`<section aria-labelledby=${id} ...${rest}><h2 id=${id}>${title}</h2>${children}</section>`;
}

/** A place with nothing in it, in words, and where to go from there. */
export const Nothing = ({ icon, text, href, label }) =>
  html`<div class="nothing"><${Icon} name=${icon} /><p>${text}</p>${href && html`<a class="button main" href=${href}>${label}</a>`}</div>`;

export const Back = ({ href, label }) =>
  html`<a class="button quiet" href=${href} aria-label=${label} title=${label}><${Icon} name="back" /></a>`;

/** A table that scrolls by itself; `columns` of words stand before those of `numbers`, and the first names its row. */
export function Table({ label, columns, numbers = [], rows, none, end, class: kind }) {
  if (!rows.length && none) return html`<p class="dim">${none}</p>`;
  const cell = (value, at) => (at ? html`<td class=${at >= columns.length && at < columns.length + numbers.length ? "number" : ""}>${value}</td>` : html`<th scope="row">${value}</th>`);
  return html`<div class="scroll" tabindex="0" role="group" aria-label=${label}><table class=${kind}>
    <thead><tr>${[...columns, ...numbers].map((title, at) => html`<th scope="col" class=${at >= columns.length ? "number" : ""}>${t(title)}</th>`)}${end && html`<th scope="col"><span class="unseen">${end}</span></th>`}</tr></thead>
    <tbody>${rows.map((row) => (Array.isArray(row) ? html`<tr key=${row.key}>${row.map(cell)}</tr>` : row))}</tbody></table></div>`;
}

/** A dialog of the browser: modal, focus kept inside, closed by Escape. */
function Dialog({ title, close, children, wide }) {
  const box = useRef();
  const id = useId();
  useEffect(() => {
    const before = document.activeElement;
    box.current.showModal();
    box.current.querySelector("textarea, input")?.focus();
    return () => before?.focus?.();
  }, []);
  return html`<dialog ref=${box} class=${wide ? "wide" : ""} aria-labelledby=${id} onClose=${close}>
    <header><h2 id=${id}>${title}</h2><${Button} quiet icon="cancel" label=${t("Close")} onClick=${() => box.current.close()} /></header>
    ${children}
  </dialog>`;
}

/** A dialog with a form; it closes when `send` returns something. */
export function FormDialog({ title, label, ready = true, send, close, children, wide }) {
  const submit = async (event) => {
    event.preventDefault();
    if (await attempt(send)) close();
  };
  return html`<${Dialog} title=${title} close=${close} wide=${wide}><form onSubmit=${submit}>${children}
    <footer><button class="button main" type="submit" disabled=${!ready}>${label}</button></footer></form></${Dialog}>`;
}

/** A button for those who may change something. */
export const Change = (props) => can("ReadWrite") && html`<${Button} ...${props} />`;

/** What is large and may lag a little: drawn apart, in a task of its own, at most every `ms`. */
export function Calm({ version, ms = 500, draw }) {
  const [at, again] = useState(0);
  const timer = useRef(0);
  useEffect(() => {
    timer.current ||= setTimeout(() => ((timer.current = 0), again((n) => n + 1)), at ? ms : 0);
  }, [version]);
  useEffect(() => () => clearTimeout(timer.current), []);
  return useMemo(draw, [at]); // the same nodes again are not compared
}

/** A canvas as large as its place, sharp on every screen; `draw(context, width, height)` paints it. */
export function Canvas({ draw, again, ...rest }) {
  const canvas = useRef();
  const place = useRef(); // read again only after it changed: asking costs a layout
  const paintNow = () => {
    const on = canvas.current;
    if (!on) return;
    const [width, height] = (place.current ??= [on.clientWidth, on.clientHeight]);
    const scale = devicePixelRatio || 1;
    const [wide, high] = [Math.round(width * scale), Math.round(height * scale)];
    if (on.width !== wide) on.width = wide;
    if (on.height !== high) on.height = high;
    const context = on.getContext("2d");
    context.setTransform(scale, 0, 0, scale, 0, 0);
    draw(context, width, height);
  };
  const latest = useRef();
  latest.current = paintNow;
  useLayoutEffect(paintNow, again);
  useEffect(() => {
    const watch = new ResizeObserver(() => {
      if (!canvas.current) return;
      const before = place.current;
      place.current = [canvas.current.clientWidth, canvas.current.clientHeight];
      if (String(before) !== String(place.current)) latest.current();
    });
    watch.observe(canvas.current);
    const themes = ["(prefers-color-scheme: dark)", "(forced-colors: active)"].map((query) => matchMedia(query));
    const changed = () => latest.current();
    for (const one of themes) one.addEventListener("change", changed);
    document.addEventListener("theme", changed);
    return () => {
      watch.disconnect();
      for (const one of themes) one.removeEventListener("change", changed);
      document.removeEventListener("theme", changed);
    };
  }, []);
  return html`<canvas ref=${canvas} ...${rest}></canvas>`;
}
