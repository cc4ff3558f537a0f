// The daemon's own affairs: login, limits and their times, fleet, users stopped, processes, disk.
import { ask, attempt, bytesOf, can, count, duration, get, html, language, rate, ROOT, say, seconds, size, status, t, useEvery, useState, useStore, when } from "./lib.js";
import { Bar, Button, Field, Name, Said } from "./ui.js";
import { Change, FormDialog, Section, Table } from "./parts.js";
import { LimitDialog } from "./add.js";

const LOGINS = { online: "Logged in", connecting: "Connecting", offline: "Not logged in", none: "No account" };
const DAYS = [...Array(7).keys()].map((day) => new Intl.DateTimeFormat(language, { weekday: "short" }).format(new Date(2024, 0, 1 + day)));
const clock = (minute) => `${String(Math.floor(minute / 60)).padStart(2, "0")}:${String(minute % 60).padStart(2, "0")}`;
const minute = (text) => Number(text.slice(0, 2)) * 60 + Number(text.slice(3));
const limited = (limit) => (limit ? rate(limit) : t("no limit"));

function Login({ now, searches }) {
  const order = (method) => attempt(() => ask(method, "/api/v0/server").then(() => say(method === "PUT" ? t("Logging in") : t("Logged out"))));
  return html`<${Section} title="Soulseek">
    <p class="big"><span class=${`dot ${now.login}`}></span> <b>${t(LOGINS[now.login] ?? now.login)}</b></p>
    <p class="dim">${now.username ? html`<${Name} text=${now.username} /> · ${now.server}` : t("Without an account there are HTTP sources only.")}</p>
    ${now.loginDetail && html`<p><${Said} text=${now.loginDetail} /></p>`}
    ${searches && html`<p>${t("Searches: {n} of {most} left in {time}", { n: count(searches.left), most: count(searches.most), time: duration(searches.spanS) })}${searches.nextS > 0 && ` · ${t("again in {time}", { time: duration(searches.nextS) })}`}</p>
      <${Bar} part=${searches.most ? (100 * searches.left) / searches.most : 0} state="" label=${t("Searches left")} />`}
    ${now.username && html`<p class="commands">${now.login === "online" ? html`<${Change} label=${t("Log out of Soulseek")} onClick=${() => order("DELETE")} />` : html`<${Change} kind="main" label=${t("Log in to Soulseek")} onClick=${() => order("PUT")} />`}</p>`}
  </${Section}>`;
}

function Shares({ shares, load }) {
  const scan = () => attempt(() => ask("PUT", "/api/v0/shares").then(() => (say(t("Looking through the shared folders")), setTimeout(load, 500))));
  const files = shares.reduce((sum, one) => sum + one.files, 0);
  return html`<${Section} title=${t("Shared by us")}>
    <p class="big"><b>${t("one file|{n} files", { n: files })}</b></p>
    ${!shares.length && html`<p class="dim">${t("Nothing is shared: many users send nothing to those who share nothing.")}</p>`}
    <ul class="plain">${shares.map((one) => html`<li key=${one.path}><${Name} text=${one.path} /> <small>${t("one file|{n} files", { n: one.files })}${one.scanning && ` · ${t("is being looked through")}`}</small></li>`)}</ul>
    ${shares.length > 0 && html`<p class="commands"><${Change} icon="retry" label=${t("Look again")} disabled=${shares.some((one) => one.scanning)} onClick=${scan} /></p>`}
  </${Section}>`;
}

// ---- limits

/** Put a setting of limits in force, and offer what was before. */
const setting = (path, value, before, load) =>
  attempt(async () => {
    await ask("PUT", path, value);
    load();
    say(t("The limit is set"), { undo: () => attempt(() => ask("PUT", path, before).then(load)) });
    return true;
  });

function Limits({ now, load }) {
  const [text, setText] = useState(null);
  const [editing, setEditing] = useState(false);
  const shown = text ?? (now.limit ? size(now.limit) : "");
  const bytes = shown.trim() ? bytesOf(shown) : 0;
  const set = (limit) => setting(`${ROOT}/limit`, { limit }, { limit: now.limit }, () => (setText(null), load()));
  return html`<${Section} title=${t("Rate")}>
    <p class="big"><b>${rate(now.rateBytesS)}</b></p>
    ${can("ReadWrite") && html`<form onSubmit=${(event) => (event.preventDefault(), isNaN(bytes) || set(bytes))}>
      <${Field} label=${t("Limit of all jobs, a second")} hint=${t("Like 500 KB or 2 MiB; empty: no limit.")}><input value=${shown} onInput=${(event) => setText(event.target.value)} aria-invalid=${isNaN(bytes)} /></${Field}>
      <p class="commands"><button class="button main" type="submit">${t("Set the limit")}</button><${Button} label=${t("As scheduled")} onClick=${() => set(null)} /></p></form>`}
    <h3>${t("Schedule")}</h3>
    <ul class="plain">${now.schedule.map((one) => html`<li>${one.days.length === 7 ? t("every day") : one.days.map((day) => DAYS[day]).join(", ")} ${clock(one.beginMinute)}–${clock(one.endMinute)}: ${limited(one.limit)}</li>`)}
      <li class="dim">${now.schedule.length ? t("else: {limit}", { limit: limited(now.limitConfigured) }) : t("at all times: {limit}", { limit: limited(now.limitConfigured) })}</li></ul>
    <p class="commands"><${Change} label=${t("Change the schedule")} onClick=${() => setEditing(true)} /></p>
    ${editing && html`<${Schedule} now=${now} load=${load} close=${() => setEditing(false)} />`}
  </${Section}>`;
}

/** Limits by the time of the week, to be changed. */
function Schedule({ now, load, close }) {
  const [rows, setRows] = useState(() => now.schedule.map((one) => ({ days: one.days, from: clock(one.beginMinute), to: clock(one.endMinute % 1440), limit: one.limit ? size(one.limit) : "" })));
  const put = (at, change) => setRows(rows.map((row, other) => (other === at ? { ...row, ...change } : row)));
  const sound = (row) => row.days.length && row.from && row.to && !(row.limit.trim() && isNaN(bytesOf(row.limit)));
  const send = (schedule) => setting(`${ROOT}/limit/schedule`, { schedule }, { schedule: now.schedule }, load);
  const typed = () => rows.map((row) => ({ days: row.days, beginMinute: minute(row.from), endMinute: minute(row.to), limit: row.limit.trim() ? bytesOf(row.limit) : 0 }));
  return html`<${FormDialog} wide title=${t("Limits by the time of the week")} label=${t("Set the schedule")} ready=${rows.every(sound)} send=${() => send(typed())} close=${close}>
    <p class="dim">${t("The first line that fits holds, by the daemon's clock. An end that is not after the beginning is on the next day.")}</p>
    ${rows.map((row, at) => html`<fieldset class="tools" key=${at}><legend class="unseen">${t("Line {n}", { n: at + 1 })}</legend>
      <span class="tabs">${DAYS.map((name, day) => html`<button type="button" aria-pressed=${row.days.includes(day)} onClick=${() => put(at, { days: row.days.includes(day) ? row.days.filter((one) => one !== day) : [...row.days, day].sort() })}>${name}</button>`)}</span>
      <input type="time" required aria-label=${t("From")} value=${row.from} onInput=${(event) => put(at, { from: event.target.value })} />
      <input type="time" required aria-label=${t("To")} value=${row.to} onInput=${(event) => put(at, { to: event.target.value })} />
      <input aria-label=${t("Limit, a second")} placeholder=${t("no limit")} value=${row.limit} aria-invalid=${Boolean(row.limit.trim()) && isNaN(bytesOf(row.limit))} onInput=${(event) => put(at, { limit: event.target.value })} />
      <${Button} quiet icon="delete" label=${t("Remove line {n}", { n: at + 1 })} onClick=${() => setRows(rows.filter((_, other) => other !== at))} /></fieldset>`)}
    <p class="commands"><${Button} icon="add" label=${t("Add a line")} onClick=${() => setRows([...rows, { days: [0, 1, 2, 3, 4, 5, 6], from: "08:00", to: "18:00", limit: "1 MiB" }])} />
      <${Button} label=${t("As configured")} onClick=${async () => (await send(null)) && close()} /></p>
  </${FormDialog}>`;
}

// ---- fleet

const FLEETS = { joined: "Joined", alone: "No broker is connected", out: "Takes no part" };

function Fleet({ fleet, load }) {
  const [limiting, setLimiting] = useState(false);
  const limit = (limit) => setting(`${ROOT}/fleet/limit`, { limit }, { limit: fleet.limitBytesS }, () => setTimeout(load, 500));
  const drain = (name, on) => attempt(() => ask("POST", `${ROOT}/fleet/nodes/${name}/${on ? "drain" : "undrain"}`).then(() => {
    say(t(on ? "Hands over its jobs: {name}" : "Takes jobs again: {name}", { name }), { undo: () => drain(name, !on) });
    setTimeout(load, 500);
  }));
  const state = (node) => [node.name === fleet.leader && t("leads"), node.name === fleet.node && t("this one"), fleet.draining.includes(node.name) && t("hands over its jobs")].filter(Boolean).join(", ");
  return html`<${Section} title=${t("Fleet {name}", { name: fleet.fleet })}>
    <p><span class=${`dot ${fleet.state === "joined" ? "online" : ""}`}></span> <b>${t(FLEETS[fleet.state])}</b> <span class="dim">${[fleet.destination && t("into {place}", { place: fleet.destination }), fleet.leader ? "" : t("no leader now"), t("limit of all nodes: {limit}", { limit: limited(fleet.limitBytesS) })].filter(Boolean).join(" · ")}</span></p>
    <p class="commands"><${Change} label=${t("Limit…")} title=${t("Limit of all nodes, a second")} onClick=${() => setLimiting(true)} /></p>
    ${limiting && html`<${LimitDialog} title=${t("Limit of all nodes, a second")} limit=${fleet.limitBytesS} send=${limit} close=${() => setLimiting(false)} />`}
    ${fleet.text && html`<p class="why"><${Said} text=${fleet.text} /></p>`}
    <${Table} label=${t("Nodes")} columns=${["Node", "State", "Version"]} numbers=${["Rate", "Free", "Jobs"]} end=${t("Commands")} none=${t("No node is there.")} rows=${fleet.nodes.map((node) => [
      html`<${Name} text=${node.name} />`, state(node) || t("works"), node.version, rate(node.rateBytesS), size(node.freeBytes), t("{n} of {most}", { n: count(node.jobs), most: count(node.slots) }),
      html`<${Change} label=${fleet.draining.includes(node.name) ? t("Take jobs again") : t("Drain")} title=${`${t("Drain")}: ${node.name}`} onClick=${() => drain(node.name, !fleet.draining.includes(node.name))} />`,
    ]).concat(fleet.gone.map((node) => [
      html`<${Name} text=${node.name} />`, html`${t("Gone: silent for {time}", { time: duration(node.silentS) })}${node.jobs.length > 0 && html`<small>${t("It had:")} <${Name} text=${node.jobs.join(", ")} /></small>`}`, "–", "–", "–", "–", "",
    ]))} />
    ${fleet.jobs.length > 0 && html`<h3>${t("Its jobs")}</h3><${Table} label=${t("Its jobs")} columns=${["File", "State", "Nodes"]} numbers=${["Size", "Parts"]} rows=${fleet.jobs.map((job) => [
      html`<${Name} text=${job.name} /><small><${Said} text=${job.reason} /></small>`, t(JOBS[job.state]), job.nodes.join(", ") || "–", size(job.sizeBytes), job.parts ? t("{n} of {most}", { n: count(job.partsStored), most: count(job.parts) }) : "–",
    ])} />`}
  </${Section}>`;
}

const JOBS = { queued: "Queued", placed: "Placed", active: "Active", sealing: "Finishing", sealed: "Complete", failed: "Failed", cancelled: "Cancelled" };
const UPLOADS = { sending: "Sending", queued: "Queued", complete: "Complete", ended: "Ended early" };
const NO_FLEET = "no fleet is configured";

export function Network() {
  const now = useStore(status);
  const [more, setMore] = useState({ searches: null, shares: [], uploads: [], stops: [], users: [], held: [], fleet: null });
  const take = (found) => setMore((before) => ({ ...before, ...found }));
  const processes = now?.processes.filter((one) => one.detail !== NO_FLEET);
  const hasFleet = processes?.some((one) => one.name === "fleet");
  const load = () => get(`${ROOT}/status`).then((found) => status.set(found), () => {});
  const loadExchange = () => get(`${ROOT}/exchange`).then(take, () => {});
  const loadFleet = () => hasFleet && Promise.all([get(`${ROOT}/fleet`), get(`${ROOT}/fleet/jobs?limit=50`)]).then(([fleet, jobs]) => take({ fleet: { ...fleet, jobs } }), () => {});
  useEvery(5, () => (load(), loadExchange()));
  useEvery(3, loadFleet, [hasFleet]);
  useEvery(15, () => {
    get(`${ROOT}/stops?limit=200`).then((stops) => take({ stops }), () => {});
    get(`${ROOT}/users?limit=50`).then((users) => take({ users }), () => {});
    get(`${ROOT}/jobs?state=active&limit=200`).then((jobs) => take({ held: jobs.filter((job) => job.queuePlace) }), () => {});
  });
  if (!now) return html`<div aria-busy="true"></div>`;
  const used = now.diskBytes ? (100 * (now.diskBytes - now.diskFreeBytes)) / now.diskBytes : 0;
  return html`<div class="network"><h1>${t("Network")}</h1>
    <div class="cards">
      <${Login} now=${now} searches=${more.searches} />
      <${Limits} now=${now} load=${load} />
      <${Section} title=${t("Disk")}>
        <p class="big"><b>${size(now.diskFreeBytes)}</b> ${t("free")}</p><${Bar} part=${used} state="" label=${t("Used")} /><p class="dim"><${Name} text=${now.downloads} /></p>
        <dl class="pairs"><dt>${t("Received in all")}</dt><dd>${size(now.receivedBytes)}</dd><dt>${t("Fetched again")}</dt><dd>${size(now.refetchedBytes)}</dd><dt>${t("Transfers stopped early")}</dt><dd>${count(now.stops)}</dd></dl></${Section}>
      <${Section} title=${t("Places in queues")}>
        ${more.held.length ? html`<ul class="plain">${more.held.map((job) => html`<li key=${job.id}><a href=${`#/job/${job.id}`}><${Name} text=${job.name} /></a> · ${t("place {n}", { n: job.queuePlace })}</li>`)}</ul>` : html`<p class="dim">${t("None is held.")}</p>`}</${Section}>
      <${Shares} shares=${more.shares} load=${loadExchange} />
    </div>
    ${more.fleet && html`<${Fleet} fleet=${more.fleet} load=${loadFleet} />`}
    <${Section} title=${t("Uploads")}>
      <${Table} label=${t("Uploads")} columns=${["User", "File", "State"]} numbers=${["Sent", "Size", "Rate"]} none=${t("None now.")} rows=${more.uploads.map((one) => [
        html`<${Name} text=${one.username} />`, html`<${Name} text=${one.path} />`, t(UPLOADS[one.state]), size(one.sentBytes), size(one.sizeBytes), one.rateBytesS ? rate(one.rateBytesS) : "–",
      ])} /></${Section}>
    <${Section} title=${t("Processes")}>
      <${Table} label=${t("Processes")} columns=${["Name", "State"]} numbers=${["Restarts", "Memory", "Processor time", "Age"]} rows=${processes.map((one) => [
        one.name, one.up ? t("runs") : html`${t("is away")}<small><${Said} text=${one.detail} /></small>`, count(one.restarts), size(one.memoryBytes), duration(one.cpuS), duration(one.ageS),
      ])} /></${Section}>
    <${Section} title=${t("Users whose transfers were stopped")}>
      <p class="dim">${t("Each such stop stands in their list as a failed upload; one user at most {n} a day.", { n: now.stopsPerDay })}</p>
      <${Table} label=${t("Users whose transfers were stopped")} columns=${["User", "Day"]} numbers=${["Stops"]} none=${t("None.")} rows=${more.stops.map((one) => [html`<${Name} text=${one.username} />`, one.day, count(one.count)])} /></${Section}>
    <${Section} title=${t("Users known from earlier jobs")}>
      <${Table} label=${t("Users known from earlier jobs")} columns=${["User", "Last fault", "Seen"]} numbers=${["Rate", "To the first byte"]} none=${t("None.")} rows=${more.users.map((one) => [
        html`<${Name} text=${one.username} />`, html`<${Said} text=${one.lastFault} />`, when(one.seenAt, true), one.rateBytesS ? rate(one.rateBytesS) : "–", one.setupS ? seconds(one.setupS) : "–",
      ])} /></${Section}>
  </div>`;
}
