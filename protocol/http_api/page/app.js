// The frame of the page: login, navigation, theme, notifications; views are loaded when they are opened.
import { h, render } from "./vendor/preact.mjs";
import { ask, attempt, base, get, html, language, Live, online, rate, Refused, ROOT, say, session, speak, status, t, useEffect, useEvery, useRef, useState, useStore, words } from "./lib.js";
import { Button, Field, Icon, Logo, Name, Toasts } from "./ui.js";
import { Jobs, jobEvent, jobsChanged } from "./jobs.js";

const later = (module, name) => Promise.all([module, words()]).then(([views]) => views[name]);
const VIEWS = {
  jobs: () => Jobs,
  job: () => later(import("./job.js"), "JobView"),
  folders: () => later(import("./folders.js"), "Folders"),
  folder: () => later(import("./folders.js"), "Folder"),
  search: () => later(import("./search.js"), "Search"),
  wishlist: () => later(import("./search.js"), "Wishlist"),
  network: () => later(import("./network.js"), "Network"),
};
const NAVIGATION = [
  ["jobs", "jobs", "Jobs"],
  ["folders", "folder", "Folders"],
  ["search", "search", "Search"],
  ["wishlist", "wish", "Wishlist"],
  ["network", "network", "Network"],
];

const place = () => {
  const [view, ...rest] = location.hash.slice(2).split("/");
  return VIEWS[view] ? { view, id: rest.join("/") } : { view: "jobs", id: "" };
};

// ---- theme

const THEMES = ["auto", "light", "dark"];
const setTheme = (theme) => {
  localStorage.setItem("theme", theme);
  document.documentElement.dataset.theme = theme;
  document.dispatchEvent(new Event("theme"));
};
document.documentElement.dataset.theme = localStorage.getItem("theme") ?? "auto";

// ---- login

const known = () => get(`${ROOT}/status`).then((now) => (status.set(now), session.set(now.caller)), () => get(`${ROOT}/session`).then((who) => session.set(who)));
const login = (body) => ask("POST", `${ROOT}/session`, body).then(known);

function Login() {
  const [way, setWay] = useState("key");
  const [trouble, setTrouble] = useState("");
  const first = useRef();
  useEffect(() => first.current.focus(), [way]);
  const enter = async (event) => {
    event.preventDefault();
    const given = Object.fromEntries(new FormData(event.target));
    try {
      await login(given);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      setTrouble(error.kind === "unauthorized" ? t(way === "key" ? "This key opens nothing." : "Wrong name or password.") : error.message);
    }
  };
  return html`<main class="login"><form onSubmit=${enter} method="post">
    <h1><${Logo} /> Shoal</h1>
    <div class="tabs" role="group" aria-label=${t("Log in with")}>
      ${[["key", t("API key")], ["password", t("Name and password")]].map(
        ([name, label]) => html`<button type="button" aria-pressed=${way === name} onClick=${() => setWay(name)}>${label}</button>`,
      )}
    </div>
    ${way === "key"
      ? html`<${Field} label=${t("API key")} hint=${t("On the daemon's machine, “shoal open” logs you in without it.")}><input ref=${first} key="key" name="key" type="password" required autocomplete="current-password" /></${Field}>`
      : html`<${Field} label=${t("Name")}><input ref=${first} key="name" name="username" required autocomplete="username" /></${Field}>
          <${Field} label=${t("Password")}><input name="password" type="password" required autocomplete="current-password" /></${Field}>`}
    <p class="trouble" role="alert">${trouble}</p>
    <button class="button main" type="submit">${t("Log in")}</button>
  </form></main>`;
}

// ---- live

let counting = 0;
const count = () => {
  clearTimeout(counting);
  counting = setTimeout(() => get(`${ROOT}/status`).then((now) => status.set(now), () => {}), 250);
};

const ENDS = { "job.sealed": "Complete: {name}", "job.failed": "Failed: {name}" };
const mayNotify = () => localStorage.getItem("notify") === "on" && window.Notification?.permission === "granted";
function notification(text, tag, place) {
  const shown = new Notification(text, { tag, icon: `${base}/page/icon.svg` });
  shown.onclick = () => (focus(), (location.hash = place));
}

let notified = 0; // serial of the latest event that was looked at
async function notify(event) {
  if (event.id <= notified) return;
  notified = event.id;
  if (!ENDS[event.type] || !mayNotify()) return;
  const job = await get(`${ROOT}/jobs/${event.job}?chunkMap=false`).catch(() => null);
  if (job) notification(t(ENDS[event.type], { name: job.name.slice(0, 120) }), event.job, `#/job/${event.job}`);
}

/** A page that is not seen hears no events: it asks for them now and then, if anything is to be notified. */
const lookBehind = async () => {
  if (!document.hidden || !mayNotify()) return;
  if (!notified) notified = (await get(`${ROOT}/events?limit=1`).catch(() => []))[0]?.id ?? 0;
  for (const event of await get(`${ROOT}/events?after=${notified}`).catch(() => [])) await notify(event);
};

/** Say once what was found of the wishlist. */
async function lookForWishes() {
  if (document.hidden && !mayNotify()) return;
  const before = localStorage.getItem("wishes");
  const found = (await get(`${ROOT}/wishlist`).catch(() => null))?.filter((wish) => wish.foundAt);
  if (!found) return;
  localStorage.setItem("wishes", found.map((wish) => wish.id).join());
  for (const wish of before === null ? [] : found.filter((wish) => !before.includes(wish.id))) {
    const text = t("Found, from your wishlist: {term}", { term: wish.term.slice(0, 120) });
    say(text);
    if (mayNotify()) notification(text, wish.id, wish.job ? `#/job/${wish.job}` : "#/wishlist");
  }
}

function follow() {
  const last = status.value?.lastEvent; // what is shown was asked for after it
  let fresh = last >= 0;
  const handlers = { open: () => (fresh ? (fresh = false) : (count(), jobsChanged())) };
  const kinds = ["queued", "started", "progressed", "noted", "paused", "resumed", "sealed", "failed", "cancelled", "deleted", "changed"];
  for (const kind of kinds) handlers[`job.${kind}`] = jobEvent;
  for (const kind of kinds.filter((kind) => kind !== "progressed"))
    handlers[`job.${kind}`] = (event) => (jobEvent(event), count(), notify(event));
  for (const kind of ["session.changed", "process.lost", "process.ready", "daemon.started"]) handlers[kind] = count;
  return new Live("/api/v0/events/stream", handlers, { last });
}

// ---- the frame

function More({ who }) {
  const [asked, setAsked] = useState(localStorage.getItem("notify") === "on");
  const theme = localStorage.getItem("theme") ?? "auto";
  const names = { auto: t("as the system"), light: t("light"), dark: t("dark") };
  const [now, setNow] = useState(theme);
  const box = useRef();
  useEffect(() => {
    const kinds = ["pointerdown", "focusin", "keydown", "hashchange"];
    const shut = ({ type, key, target }) => {
      const inside = target instanceof Node && box.current.contains(target);
      if (!box.current.open || (type === "keydown" ? key !== "Escape" : inside)) return;
      box.current.open = false;
      if (inside) box.current.firstElementChild.focus();
    };
    for (const kind of kinds) addEventListener(kind, shut);
    return () => kinds.forEach((kind) => removeEventListener(kind, shut));
  }, []);
  const notifications = async () => {
    const on = !asked && (await Notification.requestPermission()) === "granted";
    localStorage.setItem("notify", on ? "on" : "off");
    setAsked(on);
    if (!on && !asked) say(t("The browser does not allow notifications."), { bad: true });
  };
  return html`<details class="menu" ref=${box}><summary class="button quiet" aria-label=${t("More")} title=${t("More")}><${Icon} name="more" /></summary>
    <div>
      <p><${Name} text=${who.name} /> · ${who.role}</p>
      <button type="button" class="button" onClick=${() => { const next = THEMES[(THEMES.indexOf(now) + 1) % 3]; setTheme(next); setNow(next); }}>${t("Colours: {now}", { now: names[now] })}</button>
      ${"Notification" in window && html`<button type="button" class="button" aria-pressed=${asked} onClick=${notifications}>${asked ? t("Notifications: on") : t("Notifications: off")}</button>`}
      <button type="button" class="button" lang=${language === "en" ? "de" : "en"} onClick=${() => speak(language === "en" ? "de" : "en")}>${language === "en" ? "Deutsch" : "English"}</button>
      <a class="button" href=${`${base}/docs`}>${t("API document")}</a>
      ${who.kind === "session" && html`<button type="button" class="button" onClick=${() => attempt(() => ask("DELETE", `${ROOT}/session`).then(() => session.set(null)))}>${t("Log out")}</button>`}
      <p class="dim">Shoal ${who.version}</p>
    </div>
  </details>`;
}

function Frame({ who }) {
  const [at, setAt] = useState(place);
  const [shown, setShown] = useState({ ...at, View: at.view === "jobs" ? Jobs : null }); // the view before, until the next one is loaded
  const main = useRef();
  const there = useStore(online);
  const now = useStore(status);
  useEffect(() => {
    const moved = () => setAt(place());
    addEventListener("hashchange", moved);
    const live = follow();
    document.addEventListener("visibilitychange", lookBehind);
    const timers = [setTimeout(lookForWishes, 8000), setInterval(lookForWishes, 60_000), setInterval(lookBehind, 30_000)];
    return () => {
      timers.forEach(clearInterval);
      document.removeEventListener("visibilitychange", lookBehind);
      removeEventListener("hashchange", moved);
      live.close();
    };
  }, []);
  useEvery(3, () => status.value?.counts.active && count()); // the rate of all: no event tells it
  const first = useRef(true);
  useEffect(() => {
    let gone = false;
    Promise.resolve(VIEWS[at.view]()).then((View) => gone || setShown({ ...at, View }));
    if (!first.current) main.current.focus();
    first.current = false;
    return () => (gone = true);
  }, [at]);
  const of = (view) => ({ job: "jobs", folder: "folders" })[view] ?? view;
  return html`
    <a class="skip" href="#main" onClick=${(event) => (event.preventDefault(), main.current.focus())}>${t("To the content")}</a>
    <header class="frame">
      <a class="brand" href="#/jobs"><${Logo} /><span>Shoal</span></a>
      <nav aria-label=${t("Views")}>${NAVIGATION.map(
        ([view, icon, label]) => html`<a href=${`#/${view}`} aria-current=${of(at.view) === view ? "page" : null}><${Icon} name=${icon} /><span>${t(label)}</span></a>`,
      )}</nav>
      <p class="gauge" title=${t("All jobs together")}>${now ? rate(now.rateBytesS) : ""}</p>
      <${More} who=${who} />
    </header>
    ${!there && html`<p class="away" role="alert">${t("The daemon does not answer; trying again.")}</p>`}
    <main id="main" tabindex="-1" ref=${main}>${shown.View && html`<${shown.View} key=${shown.view + shown.id} id=${shown.id} />`}</main>
    <${Toasts} />`;
}

function App() {
  const who = useStore(session);
  useEffect(() => {
    const look = () => known().catch(() => session.set(session.value ?? null));
    const linked = () => {
      const token = /^#login=(.+)/.exec(location.hash)?.[1];
      if (token) history.replaceState(null, "", location.pathname), login({ token }).catch(look);
      return token;
    };
    linked() || look();
    addEventListener("hashchange", linked);
  }, []);
  if (who === undefined) return html`<main class="login" aria-busy="true"></main>`;
  return who ? h(Frame, { who, key: who.name }) : h(Login);
}

render(h(App), document.getElementById("app"));
// Not needed to work: last.
setTimeout(() => document.head.append(Object.assign(document.createElement("link"), { rel: "icon", href: `${base}/page/icon.svg` })), 10_000);
