// The list of jobs: pages from the server, rows in sight only, live figures, many at once, undo.
import { ask, attempt, can, count, duration, get, html, percent, query, rate, ROOT, said, say, size, status, Store, t, useEffect, useMemo, useRef, useState, useStore, when } from "./lib.js";
import { Bar, Button, Icon, Later, Name, Rows, Said, State } from "./ui.js";

const PAGE = 50;
const HEIGHT = 64;
const TABS = [
  ["", "All"],
  ["active", "Active"],
  ["queued", "Queued"],
  ["paused", "Paused"],
  ["sealed", "Complete"],
  ["failed", "Failed"],
  ["cancelled", "Cancelled"],
];
const SORTS = [
  ["newest", "Newest first"],
  ["oldest", "Oldest first"],
  ["queue", "As they will start"],
  ["name", "By name"],
  ["largest", "Largest first"],
  ["folder", "By folder"],
];
export const ENDED = ["sealed", "failed", "cancelled"];

// ---- rows as far as they were fetched; what is live is written into them

const list = new Store({ rows: new Map(), total: 0, filter: { state: "", text: "", order: "newest", folder: "" } });
const byId = new Map();
let asking = new Map();
let generation = 0;

const fetchPage = (page) => {
  if (asking.has(page)) return;
  const mine = generation;
  const { state, text, order, folder } = list.value.filter;
  asking.set(page, true);
  attempt(async () => {
    const { body, total } = await ask("GET", `${ROOT}/jobs${query({ state, text, order, folderId: folder, offset: page * PAGE, limit: PAGE })}`);
    if (mine !== generation) return;
    list.value.total = total;
    list.value.loaded = true;
    body.forEach((job, at) => {
      list.value.rows.set(page * PAGE + at, job);
      byId.set(job.id, job);
    });
    list.changed();
  }).finally(() => setTimeout(() => mine === generation && asking.delete(page), 50));
};

const want = (first, last) => {
  for (let page = Math.floor(first / PAGE); page <= Math.floor(Math.max(first, last - 1) / PAGE); page++)
    if (!list.value.rows.has(page * PAGE)) fetchPage(page);
};

let sight = [0, 30];
let stale = 0;
/** Fetch again what is in sight: jobs came, went or moved. */
export function jobsChanged() {
  stale ||= setTimeout(() => {
    stale = 0;
    if (document.hidden) return; // all of it is asked for when the page is seen again
    generation++;
    asking = new Map();
    const [first, last] = sight;
    const kept = [Math.floor(first / PAGE), Math.floor(Math.max(first, last - 1) / PAGE)];
    for (const at of list.value.rows.keys()) if (Math.floor(at / PAGE) < kept[0] || Math.floor(at / PAGE) > kept[1]) list.value.rows.delete(at);
    byId.clear(); // a page that is open for days forgets jobs that it does not show
    for (const job of list.value.rows.values()) byId.set(job.id, job);
    for (let page = kept[0]; page <= kept[1]; page++) fetchPage(page);
  }, 150);
}

export function jobEvent({ type, job: id, data }) {
  if (type !== "job.progressed") return jobsChanged();
  const job = byId.get(id);
  if (!job) return;
  Object.assign(job, { state: data.state === "active" ? "active" : job.state, phase: data.phase ?? job.phase, storedBytes: data.storedBytes ?? job.storedBytes, rateBytesS: data.rateBytesS, leftS: data.leftS >= 0 ? data.leftS : null });
  if (data.sizeBytes > 0) {
    job.sizeBytes = data.sizeBytes;
    job.percent = Math.min(99.99, (100 * job.storedBytes) / data.sizeBytes);
  }
  list.changed();
}

let outside; // the filter of the whole list while one folder is looked at
const enter = (folder) => {
  const { filter } = list.value;
  if (filter.folder === folder) return;
  if (!filter.folder) outside = filter;
  setFilter(folder ? { state: "", text: "", order: "oldest", folder } : outside);
};

export function setFilter(change) {
  list.value.filter = { ...list.value.filter, ...change };
  generation++;
  asking = new Map();
  list.value.rows.clear();
  byId.clear();
  sight = [0, 30];
  fetchPage(0);
  list.changed();
}

// ---- commands, to one or to many

const WORDS = {
  pause: ["One job paused|{n} jobs paused", "resume"],
  resume: ["One job goes on|{n} jobs go on", "pause"],
  cancel: ["One job cancelled|{n} jobs cancelled", "retry"],
  retry: ["One job tried again|{n} jobs tried again", "cancel"],
  update: ["One job changed|{n} jobs changed", ""],
  delete: ["One job removed|{n} jobs removed", ""],
};

async function bulk(action, ids, more = {}) {
  const done = [];
  const failed = [];
  for (let at = 0; at < ids.length; at += 1000) {
    const { body } = await ask("POST", `${ROOT}/bulk`, { action, ids: ids.slice(at, at + 1000), ...more });
    done.push(...body.done);
    failed.push(...body.failed);
  }
  jobsChanged();
  return { done, failed };
}

/** Do it, say so, and offer to take it back. */
export const command = (action, jobs, more) =>
  attempt(async () => {
    const ids = jobs.map((job) => job.id);
    const before = jobs.map(({ id, limit, priority }) => ({ id, limit, priority }));
    if (action === "delete") {
      // What is gone cannot come back, so it goes only when nothing was said against it.
      return say(t("One job will be removed|{n} jobs will be removed", { n: ids.length }), { later: () => attempt(() => bulk("delete", ids)) });
    }
    const { done, failed } = await bulk(action, ids, more);
    const changed = done.map((job) => job.id);
    const back = WORDS[action][1];
    const undo = async () => {
      if (back) return bulk(back, changed);
      for (const { id, limit, priority } of before) if (changed.includes(id)) await bulk("update", [id], { limit, priority });
    };
    if (done.length) say(t(WORDS[action][0], { n: done.length }), { undo: () => attempt(undo) });
    if (failed.length) say(t("Refused for one job: {why}|Refused for {n} jobs: {why}", { n: failed.length, why: said(failed[0].detail) }), { bad: true });
  });

const may = {
  pause: (job) => job.state === "active" || job.state === "queued",
  resume: (job) => job.state === "paused",
  cancel: (job) => !ENDED.includes(job.state),
  retry: (job) => job.state === "failed" || job.state === "cancelled",
  delete: (job) => ENDED.includes(job.state),
  update: (job) => !ENDED.includes(job.state),
};

export function Commands({ jobs, text }) {
  const [limiting, setLimiting] = useState(false);
  if (!can("ReadWrite")) return null;
  const of = (action) => jobs.filter(may[action]);
  const button = (action, label, kind = "") =>
    of(action).length > 0 && html`<${Button} icon=${action} label=${label} quiet=${!text} kind=${kind} onClick=${() => command(action, of(action))} />`;
  const higher = (by) => {
    const ones = of("update");
    const to = (by > 0 ? Math.max : Math.min)(...ones.map((job) => job.priority)) + by;
    command("update", ones, { priority: Math.max(-1000, Math.min(1000, to)) });
  };
  return html`<span class="commands">
    ${button("pause", t("Pause"))}${button("resume", t("Resume"))}${button("retry", t("Try again"))}${button("cancel", t("Cancel"))}
    ${of("update").length > 0 &&
    html`<${Button} icon="up" quiet label=${t("Higher priority")} onClick=${() => higher(1)} />
      <${Button} icon="down" quiet label=${t("Lower priority")} onClick=${() => higher(-1)} />
      <${Button} label=${t("Limit…")} onClick=${() => setLimiting(true)} />`}
    ${button("delete", t("Remove"), "danger")}
    ${limiting && html`<${Later} load=${() => import("./add.js").then((add) => add.LimitDialog)} limit=${of("update")[0]?.limit} send=${(limit) => (command("update", of("update"), { limit }), true)} close=${() => setLimiting(false)} />`}
  </span>`;
}

// ---- the view

const CLAIMS = { size: "size only", attributes: "size only", overlap: "compared", frames: "compared", pieces: "proven", digest: "proven", decoded: "proven" };

function Row({ job, at, active, chosen, choose, open, group }) {
  const select = (event) => choose(at, event.shiftKey);
  const figures =
    job.state === "active" && job.rateBytesS > 0
      ? html`<b>${rate(job.rateBytesS)}</b><span>${job.leftS == null ? "" : t("{time} left", { time: duration(job.leftS) })}</span>`
      : html`<span class="dim">${ENDED.includes(job.state) ? when(job.endedAt, true) : job.queuePlace ? t("place {n}", { n: job.queuePlace }) : ""}</span>`;
  return html`<div role="row" id=${`row-${at}`} aria-rowindex=${at + 2} aria-selected=${chosen} class=${`row ${active ? "at" : ""} ${job.state}`}>
    <span role="gridcell"><input type="checkbox" tabindex="-1" checked=${chosen} onClick=${select} aria-label=${t("Choose {name}", { name: job.name || job.id })} /></span>
    <span role="gridcell" class="what">
      <a tabindex="-1" href=${`#/job/${job.id}`} onClick=${open}><${Name} text=${job.name || job.term || t("(no name yet)")} /></a>
      <small>${!group && job.reason ? html`<${Said} text=${job.reason} />` : html`<${Name} text=${job.folder} />`}</small>
    </span>
    <span role="gridcell" class="how"><${State} job=${job} /><span class="amount">${size(job.sizeBytes)}</span></span>
    <span role="gridcell" class="far"><${Bar} part=${job.percent} state=${job.state} label=${t("Stored")} /><small>${percent(job.percent)}</small></span>
    <span role="gridcell" class="fast">${figures}</span>
    <span role="gridcell" class="from" title=${t("Sources that send, of all")}>${job.state === "active" ? `${count(job.sourcesActive)} / ` : ""}${count(job.sourceCount)}<small>${CLAIMS[job.claim] && job.storedBytes > 0 ? t(CLAIMS[job.claim]) : ""}</small></span>
  </div>`;
}

export function Jobs({ folder = "", head: above, counts: inside }) {
  useState(() => enter(folder));
  const now = useStore(list);
  const everywhere = useStore(status)?.counts ?? {};
  const counts = folder ? (inside ?? {}) : everywhere;
  const [active, setActive] = useState(0);
  const [chosen, setChosen] = useState(new Map());
  const [adding, setAdding] = useState(null);
  const last = useRef(0);
  const typing = useRef(0);
  const { filter, rows, total } = now;
  useEffect(() => {
    if (list.value.loaded) jobsChanged();
    const dropped = (event) => {
      if (document.querySelector("dialog[open]") || !can("ReadWrite")) return;
      event.preventDefault();
      const text = event.dataTransfer.getData("text");
      if (event.type === "drop") setAdding({ text, files: [...event.dataTransfer.files] });
    };
    for (const kind of ["dragover", "drop"]) addEventListener(kind, dropped);
    return () => { for (const kind of ["dragover", "drop"]) removeEventListener(kind, dropped); };
  }, []);
  const total_ = useMemo(() => Object.values(counts).reduce((sum, one) => sum + one, 0), [counts]);
  const choose = (at, range) => {
    const next = new Map(chosen);
    const [from, to] = range ? [Math.min(last.current, at), Math.max(last.current, at)] : [at, at];
    const on = !next.has(rows.get(at)?.id);
    for (let index = from; index <= to; index++) {
      const job = rows.get(index);
      if (job) on ? next.set(job.id, job) : next.delete(job.id);
    }
    last.current = at;
    setChosen(next);
  };
  const keys = (event) => {
    const job = rows.get(active);
    if (event.key === "Enter" && job) location.hash = `#/job/${job.id}`;
    else if (event.key === " " && job) choose(active, event.shiftKey);
    else if (event.key === "Escape") setChosen(new Map());
    else if (event.key === "Delete" && jobs.length) command(jobs.every(may.delete) ? "delete" : "cancel", jobs.filter((one) => may.delete(one) || may.cancel(one)));
    else if (event.key.toLowerCase() === "a" && (event.ctrlKey || event.metaKey)) everything();
    else return;
    event.preventDefault();
  };
  const everything = () =>
    attempt(async () => {
      const all = new Map();
      for (let offset = 0; offset < total; offset += 1000)
        for (const job of await get(`${ROOT}/jobs${query({ state: filter.state, text: filter.text, order: filter.order, folderId: folder, offset, limit: 1000 })}`)) all.set(job.id, job);
      setChosen(all);
    });
  const jobs = [...chosen.values()].map((job) => byId.get(job.id) ?? job);
  const search = (event) => {
    clearTimeout(typing.current);
    const text = event.target.value;
    typing.current = setTimeout(() => (setActive(0), setFilter({ text })), 200);
  };
  const row = (at) => {
    const job = rows.get(at);
    if (!job) return html`<div role="row" id=${`row-${at}`} key=${at} aria-rowindex=${at + 2} class="row empty"><span role="gridcell">…</span></div>`;
    return html`<${Row} key=${job.id} job=${job} at=${at} active=${at === active} chosen=${chosen.has(job.id)} choose=${choose} group=${filter.order === "folder"} />`;
  };
  const head = html`<div role="row" aria-rowindex="1" class="row head">
    <span role="columnheader"><input type="checkbox" tabindex="-1" checked=${chosen.size > 0 && chosen.size >= total} onClick=${() => (chosen.size ? setChosen(new Map()) : everything())} aria-label=${t("Choose all")} /></span>
    <span role="columnheader" class="what">${t("File")}</span><span role="columnheader" class="how">${t("State")}</span><span role="columnheader" class="far">${t("Stored")}</span><span role="columnheader" class="fast">${t("Rate")}</span><span role="columnheader" class="from">${t("Sources")}</span></div>`;
  return html`<section class="jobs" aria-label=${t("Jobs")}>
    ${above ?? html`<h1 id="jobs-title" class="unseen">${t("Jobs")}</h1>`}
    <div class="tools">
      <div class="tabs" role="group" aria-label=${t("State")}>${TABS.map(
        ([state, label]) => html`<button type="button" aria-pressed=${filter.state === state} onClick=${() => (setActive(0), setFilter({ state }))}>${t(label)}<small>${count(state ? (counts[state] ?? 0) : total_)}</small></button>`,
      )}</div>
      <input type="search" placeholder=${t("Name, path or user")} aria-label=${t("Name, path or user")} value=${filter.text} onInput=${search} />
      <select aria-label=${t("Order")} value=${filter.order} onChange=${(event) => (setActive(0), setFilter({ order: event.target.value }))}>${SORTS.map(([name, label]) => html`<option value=${name}>${t(label)}</option>`)}</select>
      ${can("ReadWrite") && !folder && html`<${Button} kind="main" icon="add" label=${t("Add")} onClick=${() => setAdding({})} />`}
    </div>
    ${chosen.size > 0 && html`<div class="chosen" role="region" aria-label=${t("Chosen jobs")}><b>${t("One chosen|{n} chosen", { n: chosen.size })}</b><${Commands} jobs=${jobs} text /><${Button} label=${t("Choose none")} onClick=${() => setChosen(new Map())} /></div>`}
    <${Rows} count=${total} height=${HEIGHT} row=${row} head=${head} label=${t("Jobs")} onKey=${keys} active=${Math.min(active, Math.max(0, total - 1))} setActive=${setActive} seen=${(first, last) => ((sight = [first, last]), want(first, last))} />
    ${now.loaded && total === 0 && !above && html`<div class="nothing"><${Icon} name="jobs" /><p>${filter.text || filter.state ? t("No job is like this.") : t("No downloads yet. Add an address, or search for a file.")}</p>
      ${!filter.text && !filter.state && html`<a class="button main" href="#/search">${t("Search")}</a>`}</div>`}
    ${adding && html`<${Later} load=${() => import("./add.js").then((add) => add.AddDialog)} ...${adding} changed=${jobsChanged} close=${() => setAdding(null)} />`}
  </section>`;
}
