// From words to a swarm: files as users answer, how sure and how fast each would be; and the wishlist.
import { ask, attempt, can, count, decimal, duration, get, html, Live, paint, percent, rate, ROOT, said, say, size, status, t, useEffect, useEvery, useRef, useState, useStore, when } from "./lib.js";
import { Button, Icon, Name } from "./ui.js";
import { Change, Nothing } from "./parts.js";
import { orderFolder } from "./add.js";

const PATIENCE_S = 15; // another user is disturbed only for a gain of so much ...
const PATIENCE_PART = 0.25; // ... and of this part of the time

const kept = () => JSON.parse(localStorage.getItem("searches") ?? "[]");
const keep = (term) => localStorage.setItem("searches", JSON.stringify([term, ...kept().filter((one) => one !== term)].slice(0, 12)));

const common = (values) => {
  const said = values.filter((value) => value != null);
  return said.length && said.every((value) => value === said[0]) ? said[0] : null;
};

/** How sure it is that all these users have one and the same file, and why. */
const sureness = (match) =>
  ({ single: () => ["one", t("one user")], names: () => ["fair", t("size and names agree")], attributes: () => ["high", t("size, names and sound agree")] })[match.sureness]();

/** Seconds from one user alone and from a swarm, by what they advertise, and how many more are disturbed for it. */
function predicted(match) {
  const free = match.sources.filter((one) => one.slotsFree && one.speedBytesS > 0).map((one) => one.speedBytesS).sort((a, b) => b - a);
  if (!free.length) return null;
  const alone = match.size / free[0];
  const whole = match.size / free.reduce((all, one) => all + one, 0);
  let sum = free[0];
  let users = 1;
  for (const speed of free.slice(1)) {
    const gain = match.size / sum - match.size / (sum + speed);
    if (users === 1 ? alone - whole < Math.max(PATIENCE_S, PATIENCE_PART * alone) : gain < 1) break;
    sum += speed;
    users++;
  }
  return { alone, swarm: match.size / sum, users, whole, free: free.length };
}

function attributes(match) {
  const of = (key) => common(match.sources.map((one) => one[key]));
  const said = [];
  if (of("bitRate")) said.push(`${count(of("bitRate"))} kbit/s`);
  if (of("sampleRate")) said.push(`${decimal(of("sampleRate") / 1000)} kHz`);
  if (of("bitDepth")) said.push(`${of("bitDepth")} bit`);
  if (of("duration")) said.push(duration(of("duration")));
  return said.join(" · ");
}

/** Order the folder that a user's file is in. */
const whole = ({ username, fullPath }) =>
  attempt(async () => {
    const folder = await orderFolder({ username, remoteFolder: fullPath.split("\\").slice(0, -1).join("\\") });
    location.hash = `#/folder/${folder.id}`;
  });

function Match({ match, begin }) {
  const [open, setOpen] = useState(false);
  const [sure, why] = sureness(match);
  const time = predicted(match);
  const best = Math.max(...match.sources.map((one) => one.speedBytesS));
  return html`<li class="match">
    <div class="what"><b><${Name} text=${match.name} /></b><small>${[size(match.size), attributes(match)].filter(Boolean).join(" · ")}</small></div>
    <div class="who"><button type="button" class="button quiet" aria-expanded=${open} onClick=${() => setOpen(!open)}>${t("one user|{n} users", { n: match.users })}</button><small>${match.free ? t("one free|{n} free", { n: match.free }) : t("{n} before us", { n: match.shortestQueue })}${best > 0 && ` · ${t("best {rate}", { rate: rate(best) })}`}</small></div>
    <div class="sure"><span class=${`sureness ${sure}`}>${why}</span></div>
    <div class="time">${time
      ? html`<b>${t("about {time}", { time: duration(Math.max(1, time.swarm)) })}</b><small>${time.users > 1 ? t("alone {time}; disturbs one more user|alone {time}; disturbs {n} more users", { time: duration(time.alone), n: time.users - 1 }) : t(time.free > 1 ? "from one user; all {n} would take {time}" : "from one user", { n: time.free, time: duration(Math.max(1, time.whole)) })}</small>`
      : html`<small>${t("after a wait in a queue")}</small>`}</div>
    <${Change} kind="main" icon="down" label=${t("Download")} onClick=${() => begin(match)} />
    ${open && html`<ul class="plain holders">${match.sources.map((one) => html`<li><span><b><${Name} text=${one.username} /></b> ${one.slotsFree ? t("free") : t("{n} before us", { n: one.queueLength })} · ${one.speedBytesS ? rate(one.speedBytesS) : t("speed unknown")}</span> <small><${Name} text=${one.fullPath} /></small>
      <${Change} icon="folder" label=${t("Whole folder")} onClick=${() => whole(one)} /></li>`)}</ul>`}
  </li>`;
}

const last = { term: "", state: "", matches: [], hits: 0, detail: "" };

export function Search() {
  const [, again] = useState(0);
  const [text, setText] = useState(last.term);
  const [history, setHistory] = useState(kept);
  const [filter, setFilter] = useState({ kind: "", order: "users" });
  const live = useRef();
  const box = useRef();
  const redraw = useRef(() => again((n) => n + 1));
  useEffect(() => {
    box.current.focus();
    return () => {
      live.current?.close();
      if (last.state === "running") last.state = "stopped";
    };
  }, []);
  const run = (term) => {
    term = term.trim();
    if (!term) return;
    live.current?.close();
    keep(term);
    setHistory(kept());
    setText(term);
    Object.assign(last, { term, state: "running", matches: [], hits: 0, detail: "" });
    const end = (state, detail = "") => {
      live.current.close();
      if (last.state === "running") Object.assign(last, { state, detail });
      paint(redraw.current);
    };
    const source = new Live(`${ROOT}/search/live?${new URLSearchParams({ searchText: term, searchTimeout: 20000 })}`, {
      matches: ({ matches, hits }) => (Object.assign(last, { matches, hits }), paint(redraw.current)),
      refused: ({ detail, retryAfterS }) => end("refused", retryAfterS ? `${said(detail)} (${t("again in {time}", { time: duration(retryAfterS) })})` : said(detail)),
      ended: () => end("ended"),
    }, { always: true }); // opened again it would be another search
    source.source.onerror = async () => {
      end("refused", "");
      try {
        await ask("GET", `${ROOT}/search?${new URLSearchParams({ searchText: "", searchTimeout: 1000 })}`);
      } catch (error) {
        if (!last.detail && error.kind !== "invalid") (last.detail = error.message), paint(redraw.current);
      }
    };
    live.current = source;
    again((n) => n + 1);
  };
  const begin = (match) =>
    attempt(async () => {
      const sources = match.sources.slice(0, 256).map(({ username, fullPath }) => ({ username, fullPath }));
      const { body } = await ask("POST", `${ROOT}/download`, { filename: match.name, fileSize: match.size, sources });
      say(t("Started: {name}", { name: match.name.slice(0, 80) }));
      location.hash = `#/job/${body.id}`;
    });
  const wish = () =>
    attempt(async () => {
      await ask("POST", `${ROOT}/wishlist`, { term: last.term });
      say(t("On the wishlist"));
    });
  const kinds = [...new Set(last.matches.map((match) => match.extension).filter(Boolean))].sort();
  const orders = { users: (a, b) => b.users - a.users, size: (a, b) => b.size - a.size, fast: (a, b) => (predicted(a)?.swarm ?? Infinity) - (predicted(b)?.swarm ?? Infinity) };
  const shown = last.matches.filter((match) => !filter.kind || match.extension === filter.kind).sort(orders[filter.order]);
  return html`<section class="search" aria-labelledby="search-title">
    <h1 id="search-title">${t("Search")}</h1>
    <form class="tools" role="search" onSubmit=${(event) => (event.preventDefault(), run(text))}>
      <input ref=${box} type="search" value=${text} onInput=${(event) => setText(event.target.value)} placeholder=${t("Artist, title, kind of file …")} aria-label=${t("Words to search for")} list="searches" />
      <datalist id="searches">${history.map((term) => html`<option value=${term} />`)}</datalist>
      <button class="button main" type="submit"><${Icon} name="search" /><span>${t("Search")}</span></button>
    </form>
    ${!last.term && html`<${Nothing} icon="search" text=${t("Soulseek users are asked who has it. Files that several have come fastest.")} />`}
    ${!last.term && history.length > 0 && html`<p class="past">${history.map((term) => html`<button type="button" class="button" onClick=${() => run(term)}><${Name} text=${term} /></button>`)}</p>`}
    ${last.term && html`<div class="tools found">
      <p role="status">${last.state === "running" ? t("Searching: one answer so far|Searching: {n} answers so far", { n: last.hits }) : last.state === "refused" ? "" : t("One answer|{n} answers", { n: last.hits })}</p>
      ${last.state === "running" && html`<${Button} icon="cancel" label=${t("Stop")} onClick=${() => (live.current.close(), (last.state = "stopped"), again((n) => n + 1))} />`}
      ${kinds.length > 1 && html`<select aria-label=${t("Kind")} value=${filter.kind} onChange=${(event) => setFilter({ ...filter, kind: event.target.value })}><option value="">${t("All kinds")}</option>${kinds.map((kind) => html`<option value=${kind}>${kind}</option>`)}</select>`}
      <select aria-label=${t("Order")} value=${filter.order} onChange=${(event) => setFilter({ ...filter, order: event.target.value })}><option value="users">${t("Most users first")}</option><option value="fast">${t("Fastest first")}</option><option value="size">${t("Largest first")}</option></select>
      <${Change} icon="wish" label=${t("Wish for it")} onClick=${wish} />
    </div>`}
    ${last.state === "refused" && html`<p class="trouble" role="alert">${t("No search: {why}", { why: last.detail || t("the daemon refuses") })}</p>`}
    ${last.state === "ended" && !shown.length && html`<${Nothing} icon="search" text=${t("No user who is online has it now.")} />`}
    <ul class="plain matches">${shown.slice(0, 100).map((match) => html`<${Match} key=${match.sources[0] && `${match.size} ${match.sources[0].username} ${match.sources[0].fullPath}`} match=${match} begin=${begin} />`)}</ul>
  </section>`;
}

export function Wishlist() {
  const [wishes, setWishes] = useState(null);
  const [term, setTerm] = useState("");
  const load = () => get(`${ROOT}/wishlist`).then(setWishes, () => {});
  useEvery(15, load);
  const add = (event) => {
    event.preventDefault();
    attempt(async () => {
      await ask("POST", `${ROOT}/wishlist`, { term, download: new FormData(event.target).has("download") });
      setTerm("");
      load();
    });
  };
  const remove = (wish) =>
    attempt(async () => {
      await ask("DELETE", `${ROOT}/wishlist/${wish.id}`);
      load();
      say(t("No longer wished for"), { undo: () => attempt(() => ask("POST", `${ROOT}/wishlist`, { term: wish.term, download: wish.download }).then(load)) });
    });
  return html`<section class="wishlist" aria-labelledby="wish-title">
    <h1 id="wish-title">${t("Wishlist")}</h1>
    <p class="dim">${t("Searched for again and again, as far as the server's ration of searches allows, until a user has it.")}</p>
    ${can("ReadWrite") && html`<form class="tools" onSubmit=${add}>
      <input value=${term} onInput=${(event) => setTerm(event.target.value)} aria-label=${t("Words to wish for")} placeholder=${t("Artist, title, kind of file …")} required />
      <label><input type="checkbox" name="download" /> ${t("download it when it is found")}</label>
      <button class="button main" type="submit"><${Icon} name="add" /><span>${t("Wish")}</span></button></form>`}
    ${wishes?.length === 0 && html`<${Nothing} icon="wish" text=${t("Nothing is wished for.")} />`}
    <ul class="plain wishes">${wishes?.map((wish) => html`<li key=${wish.id}>
      <b><${Name} text=${wish.term} /></b>
      <span>${wish.foundAt ? t("found: one file|found: {n} files", { n: wish.found }) : wish.searchedAt ? t("not found; searched {when}", { when: when(wish.searchedAt) }) : t("not searched for yet")}</span>
      <span class="commands">${wish.job && html`<a class="button" href=${`#/job/${wish.job}`}>${t("Its job")}</a>`}
        <a class="button" href="#/search" onClick=${() => Object.assign(last, { term: wish.term, state: "stopped", matches: [], hits: 0 })}>${t("Search")}</a>
        <${Change} quiet icon="delete" label=${t("Remove {name}", { name: wish.term })} onClick=${() => remove(wish)} /></span>
    </li>`)}</ul>
  </section>`;
}
