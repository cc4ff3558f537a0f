// State, requests, live events, words and numbers of the page. No view.
import { h } from "./vendor/preact.mjs";
import { useEffect, useReducer, useRef } from "./vendor/hooks.mjs";
import htm from "./vendor/htm.mjs";

export * from "./vendor/hooks.mjs";
export const html = htm.bind(h);
export const base = document.querySelector("meta[name=base]").content;
export const ROOT = "/api/v0/multisource";

// ---- words: English texts are the keys; another language is a table of them

let table = {};
export const missing = new Set(); // texts that the other language lacks
export let language = "en";
const chosen = localStorage.getItem("language") || navigator.language;
if (/^de/i.test(chosen)) {
  table = (await import("./de.js")).default;
  language = "de";
}
document.documentElement.lang = language;
const plural = new Intl.PluralRules(language);

/** The text in the page's language. `{name}` is a value; "one job|{n} jobs" chooses by `n`. */
export function t(text, values) {
  let said = table[text] ?? (language === "en" || missing.add(text), text);
  if (!values) return said;
  if (said.includes("|")) said = said.split("|")[plural.select(values.n) === "one" ? 0 : 1];
  return said.replace(/\{(\w+)\}/g, (_, name) => values[name]);
}

// What is not needed for the first picture: the texts of later views, and the daemon's own sentences.
let translate = (sentence) => sentence;
let loading;
/** Have every text in the page's language; it costs nothing in English. */
export const words = () =>
  (loading ??= language === "en" ? Promise.resolve() : Promise.all([import("./de.later.js"), import("./de.sentences.js"), import("./sentences.js")]).then(([later, sentences, { translator }]) => {
    Object.assign(table, later.default);
    translate = translator(sentences.default, (0.5).toLocaleString(language)[1]);
    session.changed(); // what was shown before is drawn again
  }).catch(() => (loading = null))); // the daemon is away: English until it is asked for again
/** A sentence of the daemon in the page's language, or as it is. */
export const said = (sentence) => (sentence && words(), translate(sentence));

export function speak(code) {
  localStorage.setItem("language", code);
  location.reload();
}

// ---- numbers

// The country's way to write them, where it is one of this language.
const locale = navigator.languages.find((one) => one.startsWith(language)) ?? language;
const number = new Intl.NumberFormat(locale, { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat(locale, { maximumFractionDigits: 1, minimumFractionDigits: 1 });
const clock = new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeStyle: "medium" });
const hour = new Intl.DateTimeFormat(locale, { timeStyle: "medium" });
const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];

export const count = (value) => number.format(value);
export const decimal = (value) => short.format(value);

export function size(bytes) {
  if (bytes == null) return "–";
  let unit = 0;
  while (bytes >= 1023.95 && unit < 4) (bytes /= 1024), unit++;
  return `${(unit ? short : number).format(bytes)} ${UNITS[unit]}`;
}

export const rate = (bytes) => `${size(bytes)}/s`;
export const percent = (part) => `${(part < 100 ? short : number).format(part)} %`;
/** A moment in words; `brief`: without the day when it is today. */
export function when(text, brief) {
  if (!text) return "–";
  const moment = new Date(text);
  return (brief && moment.toDateString() === new Date().toDateString() ? hour : clock).format(moment);
}

export function duration(seconds) {
  if (seconds == null || !isFinite(seconds)) return "–";
  const s = Math.round(seconds);
  if (s < 60) return t("{n} s", { n: s });
  if (s < 3600) return t("{m} min {s} s", { m: Math.floor(s / 60), s: s % 60 });
  if (s < 86400) return t("{h} h {m} min", { h: Math.floor(s / 3600), m: Math.floor((s % 3600) / 60) });
  return t("{d} d {h} h", { d: Math.floor(s / 86400), h: Math.floor((s % 86400) / 3600) });
}

/** A short time to a tenth of a second. */
export const seconds = (value) => t("{n} s", { n: decimal(value) });

/** Bytes of what people write: "5 MB", "1.5 GiB", "700". NaN for nonsense. */
export function bytesOf(text) {
  const found = /^\s*(\d+(?:[.,]\d+)?)\s*([kmgt]?)(i?)b?(?:\/s)?\s*$/i.exec(text);
  if (!found) return NaN;
  const power = " kmgt".indexOf(found[2].toLowerCase() || " ");
  return Math.round(parseFloat(found[1].replace(",", ".")) * (found[3] ? 1024 : 1000) ** power);
}

// ---- state that views share

export class Store {
  constructor(value) {
    this.value = value;
    this.readers = new Set();
  }
  set(value) {
    this.value = value;
    this.changed();
  }
  /** Tell the readers, all together before the next frame is painted. */
  changed() {
    for (const reader of this.readers) paint(reader);
  }
}

const waiting = new Set();
let frame = 0;
/** Call each function once before the next frame, however often it is asked for. */
export function paint(call) {
  waiting.add(call);
  frame ||= requestAnimationFrame(() => {
    frame = 0;
    const calls = [...waiting];
    waiting.clear();
    for (const one of calls) one();
  });
}

export function useStore(store) {
  const [, again] = useReducer((n) => n + 1, 0);
  useEffect(() => {
    store.readers.add(again);
    return () => store.readers.delete(again);
  }, [store]);
  return store.value;
}

/** Call `work` now and every `seconds` while the view is there and seen. */
export function useEvery(seconds, work, when = []) {
  const latest = useRef(work);
  latest.current = work;
  useEffect(() => {
    const call = () => document.hidden || latest.current();
    call();
    const timer = setInterval(call, seconds * 1000);
    document.addEventListener("visibilitychange", call);
    return () => {
      clearInterval(timer);
      document.removeEventListener("visibilitychange", call);
    };
  }, when);
}

export const session = new Store(undefined); // undefined: not known yet, null: logged out, else the caller
export const online = new Store(true);
export const status = new Store(null);
export const toasts = new Store([]);

let toastNumber = 0;
/** Say something for some seconds. `undo`: what takes it back; `later`: what is done unless it is taken back. */
export function say(text, { undo, later, bad } = {}) {
  const toast = { id: ++toastNumber, text, bad };
  const end = () => {
    clearTimeout(timer);
    toast.over = true; // as it goes, the pointer leaves it
    toasts.set(toasts.value.filter((one) => one !== toast));
  };
  let timer;
  // Time stands still while somebody points at it or has its buttons in focus.
  toast.hold = () => clearTimeout(timer);
  toast.free = () => toast.over || (toast.hold(), (timer = setTimeout(() => (end(), later?.()), bad ? 9000 : 6000)));
  toast.end = () => (end(), later?.());
  if (undo || later) toast.undo = () => (end(), undo?.());
  toast.free();
  toasts.set([...toasts.value.slice(-3), toast]);
}

// ---- requests

const REFUSALS = {
  unknown: "There is no such thing",
  conflict: "Not possible now",
  invalid: "Not valid",
  full: "Too much at once",
  unavailable: "Not there now",
  unauthorized: "Not logged in",
  forbidden: "Not allowed",
  "too large": "Too large",
  "head too large": "Too large",
  "not allowed": "Not possible here",
  fault: "A fault of the daemon",
};

/** A refused request; `message` is for people: what is wrong with which field, else of what kind it is. */
export class Refused extends Error {
  constructor(kind, field, detail) {
    const reason = said(detail);
    const what = reason === detail && language !== "en" ? t(REFUSALS[kind] ?? "Refused") : kind === "invalid" ? field : "";
    super(what && !reason.startsWith(what) ? `${what}: ${reason}` : reason);
    this.kind = kind;
    this.field = field;
  }
}

export async function ask(method, path, body, headers) {
  let answer;
  try {
    answer = await fetch(base + path, {
      method,
      headers: { ...(body === undefined ? {} : { "Content-Type": "application/json" }), ...headers },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch {
    online.value && online.set(false);
    throw new Refused("away", "", t("The daemon does not answer."));
  }
  online.value || online.set(true);
  const told = answer.status === 204 ? null : await answer.json().catch(() => null);
  if (answer.ok) return { body: told, total: Number(answer.headers.get("X-Total-Count") ?? 0) };
  if (answer.status === 401 && path !== `${ROOT}/session`) session.set(null);
  if (answer.status !== 401) await words();
  const error = told?.error ?? { kind: String(answer.status), field: "", detail: String(told ?? answer.statusText) };
  throw new Refused(error.kind, error.field, error.detail);
}

export const get = async (path) => (await ask("GET", path)).body;
export const query = (values) => {
  const all = new URLSearchParams();
  for (const [name, value] of Object.entries(values))
    for (const one of [value].flat()) if (one !== "" && one != null) all.append(name, one);
  return all.size ? `?${all}` : "";
};

/** Do it and say what went wrong; undefined then. */
export async function attempt(work) {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    if (session.value) say(error.message, { bad: true });
  }
}

export const can = (role) => {
  const roles = ["ReadOnly", "ReadWrite", "Administrator"];
  return roles.indexOf(session.value?.role) >= roles.indexOf(role);
};

// ---- live events

/** An event source that rests while the page is hidden, unless `always`, and comes back by itself. */
export class Live {
  constructor(path, handlers, { last, always } = {}) {
    Object.assign(this, { path, handlers, last, pause: 1000 });
    this.seen = () => (document.hidden ? this.rest() : this.open());
    always || document.addEventListener("visibilitychange", this.seen);
    always ? this.open() : this.seen();
  }
  open() {
    if (this.source) return;
    clearTimeout(this.timer);
    const mark = this.last >= 0 ? `?lastEventId=${this.last}` : "";
    const source = (this.source = new EventSource(base + this.path + mark));
    source.onopen = () => {
      this.pause = 1000;
      online.value || online.set(true);
      this.handlers.open?.();
    };
    source.onerror = () => {
      // A browser gives up after a refusal: a daemon that starts answers with errors first.
      this.rest();
      if (this.ended) return;
      online.value && online.set(false);
      this.timer = setTimeout(() => document.hidden || this.open(), this.pause);
      this.pause = Math.min(this.pause * 2, 15000);
      get(`${ROOT}/session`).catch(() => {});
    };
    for (const [kind, handle] of Object.entries(this.handlers))
      if (kind !== "open")
        source.addEventListener(kind, (event) => {
          if (event.lastEventId) this.last = event.lastEventId;
          handle(JSON.parse(event.data));
        });
  }
  rest() {
    clearTimeout(this.timer);
    this.source?.close();
    this.source = null;
  }
  close() {
    this.ended = true;
    this.rest();
    document.removeEventListener("visibilitychange", this.seen);
  }
}
