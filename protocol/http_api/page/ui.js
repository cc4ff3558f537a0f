// Small parts that views are made of.
import { html, language, said, t, toasts, useEffect, useLayoutEffect, useRef, useState, useStore, words } from "./lib.js";

const PATHS = {
  jobs: "M4 6h16M4 12h16M4 18h10",
  search: "M10.5 17a6.5 6.5 0 1 1 0-13 6.5 6.5 0 0 1 0 13zM20 20l-4.9-4.9",
  wish: "M12 20s-7.5-4.6-7.5-10A4.3 4.3 0 0 1 12 7.4a4.3 4.3 0 0 1 7.5 2.6C19.5 15.4 12 20 12 20z",
  network: "M12 3v5M12 16v5M5 12h14M12 8a4 4 0 1 1 0 8 4 4 0 0 1 0-8z",
  add: "M12 5v14M5 12h14",
  pause: "M8 5v14M16 5v14",
  resume: "M7 4.5v15l12-7.5z",
  cancel: "M6 6l12 12M18 6L6 18",
  retry: "M19 12a7 7 0 1 1-2-5l2 2M19 4v5h-5",
  delete: "M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13",
  back: "M15 5l-7 7 7 7",
  up: "M12 19V5M6 11l6-6 6 6",
  down: "M12 5v14M6 13l6 6 6-6",
  more: "M5 12h.01M12 12h.01M19 12h.01",
  folder: "M3.5 6h6l2 2.5h9V18h-17z",
  prefer: "M12 4l2.4 5 5.6.7-4.1 3.8 1.1 5.5-5-2.8-5 2.8 1.1-5.5L4 9.7 9.6 9z",
  file: "M7 3.5h7l4 4V20.5H7zM14 3.5v4h4",
  ban: "M12 3a9 9 0 1 1 0 18 9 9 0 0 1 0-18zM5.6 5.6l12.8 12.8",
};

export const Icon = ({ name }) =>
  html`<svg class="icon" viewBox="0 0 24 24" aria-hidden="true"><path d=${PATHS[name]} /></svg>`;

export const Logo = () =>
  html`<svg class="logo" viewBox="0 0 32 32" aria-hidden="true"><rect width="32" height="32" rx="8" fill="#0b5d6b" /><path fill="#7fe3d4" d="M5 11q6-6 12 0l4-3v6l-4-3q-6 6-12 0z" /><path fill="#ffd27d" d="M11 21q6-6 12 0l4-3v6l-4-3q-6 6-12 0z" /></svg>`;

export function Button({ icon, label, quiet, text = !quiet, kind = "", ...rest }) {
  return html`<button type="button" class=${`button ${kind} ${quiet ? "quiet" : ""}`} aria-label=${text ? null : label} title=${text ? null : label} ...${rest}>
    ${icon && html`<${Icon} name=${icon} />`}${text && html`<span>${label}</span>`}
  </button>`;
}

// Invisible characters of hostile names are shown by their number, so that none poses as another.
const MARKS = /([\u0000-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]|\p{Cs})/gu;
const LONGEST = 300;

/** Text from strangers: isolated from the direction of what surrounds it, marks visible, not endless. */
export function Name({ text, class: kind, lang }) {
  if (!text) return null;
  const cut = text.length > LONGEST ? `${text.slice(0, LONGEST - 60)}…${text.slice(-50)}` : text;
  const parts = cut.split(MARKS).map((part, at) => (at % 2 ? html`<span class="mark">U+${part.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}</span>` : part));
  return html`<bdi class=${kind} lang=${lang} title=${cut.length < text.length || cut.length > 60 ? cut.replace(MARKS, "\ufffd") : null}>${parts}</bdi>`;
}

/** `[text, whether it is English still]` of the parts of a sentence that were put together. */
function parts(text) {
  const now = said(text);
  if (now === text) return [[text, /\s/.test(text)]]; // a word by itself is a name
  for (const mark of ["; ", ": ", ", "]) {
    const at = text.indexOf(mark);
    const both = [text.slice(0, at), text.slice(at + mark.length)];
    if (at > 0 && both.map(said).join(mark) === now) return [...parts(both[0]), [mark], ...parts(both[1])];
  }
  return [[now]];
}

/** A sentence of the daemon in the page's language; what of it is English still is marked as that. */
export const Said = ({ text }) =>
  !text || language === "en" ? html`<${Name} text=${text} />` : parts(text).map(([part, english]) => html`<${Name} text=${part} lang=${english ? "en" : null} />`);

export function Toasts() {
  const all = useStore(toasts);
  return html`<div class="toasts" role="status">
    ${all.map(
      (one) => html`<div key=${one.id} class=${`toast ${one.bad ? "bad" : ""}`} onMouseEnter=${one.hold} onMouseLeave=${one.free} onFocusIn=${one.hold} onFocusOut=${one.free}>
        <span>${one.text}</span>
        ${one.undo && html`<${Button} label=${t("Undo")} onClick=${one.undo} />`}
        <${Button} quiet icon="cancel" label=${t("Close")} onClick=${one.end} />
      </div>`,
    )}
  </div>`;
}

export const Field = ({ label, hint, children }) =>
  html`<label class="field"><span>${label}</span>${children}${hint && html`<small>${hint}</small>`}</label>`;

export function Bar({ part, state, label }) {
  return html`<span class=${`bar ${state}`} role="progressbar" aria-label=${label} aria-valuenow=${Math.floor(part)} aria-valuemin="0" aria-valuemax="100"><i style=${{ width: `${part}%` }}></i></span>`;
}

const STATES = {
  queued: "Queued",
  active: "Active",
  paused: "Paused",
  sealed: "Complete",
  failed: "Failed",
  cancelled: "Cancelled",
};
const PHASES = {
  searching: "Searching",
  opening: "Opening",
  verifying: "Verifying",
  riding: "Downloading",
  paused: "Disk full",
  waiting: "Waiting",
  sealing: "Finishing",
};
const stateName = (job) => t((job.state === "active" && PHASES[job.phase]) || STATES[job.state] || job.state);
export const State = ({ job }) => html`<span class=${`state ${job.state}`}>${stateName(job)}</span>`;

/** Rows of one height, of which only those in sight exist. `row(index)` draws one; up to `count` of them. */
export function Rows({ count, height, row, label, onKey, active, setActive, head, seen }) {
  const box = useRef();
  const [view, setView] = useState([0, 30]);
  const look = () => {
    if (!box.current) return;
    const top = box.current.scrollTop;
    const first = Math.max(0, Math.floor(top / height) - 4);
    const last = Math.min(count, Math.ceil((top + box.current.clientHeight) / height) + 4);
    if (first !== view[0] || last !== view[1]) setView([first, last]);
  };
  useLayoutEffect(look);
  useEffect(() => {
    const watch = new ResizeObserver(look);
    watch.observe(box.current);
    return () => watch.disconnect();
  });
  useEffect(() => seen?.(view[0], Math.min(view[1], count)), [view[0], view[1], count]);
  const go = (to) => {
    const at = Math.max(0, Math.min(count - 1, to));
    setActive(at);
    const top = at * height;
    if (top < box.current.scrollTop) box.current.scrollTop = top;
    else if (top + height > box.current.scrollTop + box.current.clientHeight) box.current.scrollTop = top + height - box.current.clientHeight;
  };
  const keys = (event) => {
    const page = Math.max(1, Math.floor((box.current?.clientHeight ?? 400) / height) - 1);
    const to = { ArrowDown: active + 1, ArrowUp: active - 1, PageDown: active + page, PageUp: active - page, Home: 0, End: count - 1 }[event.key];
    if (to !== undefined && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      go(to);
    } else if (event.target === event.currentTarget || event.key === "Escape") onKey?.(event);
  };
  const rows = [];
  for (let at = view[0]; at < Math.min(view[1], count); at++) rows.push(row(at));
  return html`<div class="rows" role="grid" tabindex="0" aria-label=${label} aria-rowcount=${count + 1} aria-activedescendant=${count ? `row-${active}` : null}
      ref=${box} onScroll=${look} onKeyDown=${keys}>
    ${head}
    <div role="rowgroup" class="room" style=${{ height: `${count * height}px` }}>
      <div role="presentation" style=${{ transform: `translateY(${view[0] * height}px)` }}>${rows}</div>
    </div>
  </div>`;
}

/** A view of a module that is loaded when it is wanted. */
export function Later({ load, ...rest }) {
  const [View, setView] = useState();
  useEffect(() => void Promise.all([load(), words()]).then(([view]) => setView(() => view)), []);
  return View && html`<${View} ...${rest} />`;
}
