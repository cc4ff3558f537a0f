// The daemon's own affairs: login, limits, users who were stopped, processes, disk.
import { useState } from "./vendor/hooks.mjs";
import { ask, attempt, bytesOf, can, count, duration, get, html, rate, ROOT, say, size, status, t, useEvery, useStore, when } from "./lib.js";
import { Bar, Button, Field, Name } from "./ui.js";

const LOGINS = { online: "Logged in", connecting: "Connecting", offline: "Not logged in", none: "No account" };
const day = (number) => new Intl.DateTimeFormat(document.documentElement.lang, { weekday: "short" }).format(new Date(2024, 0, 1 + number));
const clock = (minute) => `${String(Math.floor(minute / 60)).padStart(2, "0")}:${String(minute % 60).padStart(2, "0")}`;

function Login({ now, searches }) {
  const order = (method) => attempt(() => ask(method, "/api/v0/server").then(() => say(method === "PUT" ? t("Logging in") : t("Logged out"))));
  return html`<section aria-labelledby="login-title"><h2 id="login-title">Soulseek</h2>
    <p class="big"><span class=${`dot ${now.login}`}></span> <b>${t(LOGINS[now.login] ?? now.login)}</b></p>
    <p class="dim">${now.username ? html`<${Name} text=${now.username} /> · ${now.server}` : t("Without an account there are HTTP sources only.")}</p>
    ${now.loginDetail && html`<p><${Name} text=${now.loginDetail} /></p>`}
    ${now.username && can("ReadWrite") && html`<p class="commands">${now.login === "online" ? html`<${Button} label=${t("Log out of Soulseek")} onClick=${() => order("DELETE")} />` : html`<${Button} kind="main" label=${t("Log in to Soulseek")} onClick=${() => order("PUT")} />`}</p>`}
    ${searches && html`<${Searches} searches=${searches} />`}
  </section>`;
}

/** What is left of the ration of searches, and what of ours is shared. */
function Searches({ searches }) {
  return html`<h3>${t("Searches")}</h3><p>${t("{n} of {most} left in {time}", { n: count(searches.left), most: count(searches.most), time: duration(searches.spanS) })}${searches.nextS > 0 && ` · ${t("again in {time}", { time: duration(searches.nextS) })}`}</p>
    <${Bar} part=${searches.most ? (100 * searches.left) / searches.most : 0} state="" label=${t("Searches left")} />`;
}

function Shares({ shares, load }) {
  const scan = () => attempt(() => ask("PUT", "/api/v0/shares").then(() => (say(t("Looking through the shared folders")), setTimeout(load, 500))));
  const files = shares.reduce((sum, one) => sum + one.files, 0);
  return html`<section aria-labelledby="shares-title"><h2 id="shares-title">${t("Shared by us")}</h2>
    <p class="big"><b>${t("one file|{n} files", { n: files })}</b></p>
    ${!shares.length && html`<p class="dim">${t("Nothing is shared: many users send nothing to those who share nothing.")}</p>`}
    <ul class="plain">${shares.map((one) => html`<li key=${one.path}><${Name} text=${one.path} /><small>${t("one file|{n} files", { n: one.files })}${one.scanning && ` · ${t("is being looked through")}`}</small></li>`)}</ul>
    ${shares.length > 0 && can("ReadWrite") && html`<p class="commands"><${Button} icon="retry" label=${t("Look again")} disabled=${shares.some((one) => one.scanning)} onClick=${scan} /></p>`}
  </section>`;
}

const UPLOADS = { sending: "Sending", queued: "Queued", complete: "Complete", ended: "Ended early" };

function Uploads({ uploads }) {
  return html`<section aria-labelledby="uploads-title"><h2 id="uploads-title">${t("Uploads")}</h2>
    ${uploads.length ? html`<div class="scroll" tabindex="0" role="group" aria-label=${t("Uploads")}><table><thead><tr><th scope="col">${t("User")}</th><th scope="col">${t("File")}</th><th scope="col">${t("State")}</th><th scope="col" class="number">${t("Sent")}</th><th scope="col" class="number">${t("Size")}</th><th scope="col" class="number">${t("Rate")}</th></tr></thead>
      <tbody>${uploads.map((one) => html`<tr key=${`${one.username} ${one.path}`}><th scope="row"><${Name} text=${one.username} /></th><td><${Name} text=${one.path} /></td><td>${t(UPLOADS[one.state])}</td><td class="number">${size(one.sentBytes)}</td><td class="number">${size(one.sizeBytes)}</td><td class="number">${one.rateBytesS ? rate(one.rateBytesS) : "–"}</td></tr>`)}</tbody></table></div>` : html`<p class="dim">${t("None now.")}</p>`}
  </section>`;
}

function Limits({ now, load }) {
  const [text, setText] = useState(null);
  const shown = text ?? (now.limit ? size(now.limit) : "");
  const bytes = shown.trim() ? bytesOf(shown) : 0;
  const set = (limit) =>
    attempt(async () => {
      const before = now.limit;
      await ask("PUT", `${ROOT}/limit`, { limit });
      setText(null);
      load();
      say(t("The limit is set"), { undo: () => attempt(() => ask("PUT", `${ROOT}/limit`, { limit: before }).then(load)) });
    });
  return html`<section aria-labelledby="limit-title"><h2 id="limit-title">${t("Rate")}</h2>
    <p class="big"><b>${rate(now.rateBytesS)}</b></p>
    ${can("ReadWrite") && html`<form onSubmit=${(event) => (event.preventDefault(), isNaN(bytes) || set(bytes))}>
      <${Field} label=${t("Limit of all jobs, a second")} hint=${t("Like 500 KB or 2 MiB; empty: no limit.")}><input value=${shown} onInput=${(event) => setText(event.target.value)} aria-invalid=${isNaN(bytes)} /></${Field}>
      <p class="commands"><button class="button main" type="submit">${t("Set the limit")}</button><${Button} label=${t("As configured")} onClick=${() => set(null)} /></p></form>`}
    ${now.schedule.length > 0 && html`<h3>${t("Schedule")}</h3><ul class="plain">${now.schedule.map((one) => html`<li>${one.days.map(day).join(", ")} ${clock(one.beginMinute)}–${clock(one.endMinute)}: ${one.limit ? rate(one.limit) : t("no limit")}</li>`)}</ul>`}
    <p class="dim">${t("Configured: {limit}", { limit: now.limitConfigured ? rate(now.limitConfigured) : t("no limit") })}</p>
  </section>`;
}

export function Network() {
  const now = useStore(status);
  const [stops, setStops] = useState([]);
  const [users, setUsers] = useState([]);
  const [held, setHeld] = useState([]);
  const [exchange, setExchange] = useState({ searches: null, shares: [], uploads: [] });
  const loadExchange = () => get(`${ROOT}/exchange`).then(setExchange, () => {});
  const load = () => get(`${ROOT}/status`).then((found) => status.set(found), () => {});
  useEvery(5, load);
  useEvery(5, loadExchange);
  useEvery(15, () => {
    get(`${ROOT}/stops?limit=200`).then(setStops, () => {});
    get(`${ROOT}/users?limit=50`).then(setUsers, () => {});
    get(`${ROOT}/jobs?state=active&limit=200`).then((jobs) => setHeld(jobs.filter((job) => job.queuePlace)), () => {});
  });
  if (!now) return html`<div aria-busy="true"></div>`;
  const used = now.diskBytes ? (100 * (now.diskBytes - now.diskFreeBytes)) / now.diskBytes : 0;
  return html`<div class="network"><h1>${t("Network")}</h1>
    <div class="cards">
      <${Login} now=${now} searches=${exchange.searches} />
      <${Limits} now=${now} load=${load} />
      <section aria-labelledby="disk-title"><h2 id="disk-title">${t("Disk")}</h2>
        <p class="big"><b>${size(now.diskFreeBytes)}</b> ${t("free")}</p><${Bar} part=${used} state="" label=${t("Used")} /><p class="dim"><${Name} text=${now.downloads} /></p>
        <dl class="pairs"><dt>${t("Received in all")}</dt><dd>${size(now.receivedBytes)}</dd><dt>${t("Fetched again")}</dt><dd>${size(now.refetchedBytes)}</dd><dt>${t("Transfers stopped early")}</dt><dd>${count(now.stops)}</dd></dl></section>
      <section aria-labelledby="held-title"><h2 id="held-title">${t("Places in queues")}</h2>
        ${held.length ? html`<ul class="plain">${held.map((job) => html`<li key=${job.id}><a href=${`#/job/${job.id}`}><${Name} text=${job.name} /></a> · ${t("place {n}", { n: job.queuePlace })}</li>`)}</ul>` : html`<p class="dim">${t("None is held.")}</p>`}</section>
      <${Shares} shares=${exchange.shares} load=${loadExchange} />
    </div>
    <${Uploads} uploads=${exchange.uploads} />
    <section aria-labelledby="processes-title"><h2 id="processes-title">${t("Processes")}</h2>
      <div class="scroll" tabindex="0" role="group" aria-label=${t("Processes")}><table><thead><tr><th scope="col">${t("Name")}</th><th scope="col">${t("State")}</th><th scope="col" class="number">${t("Restarts")}</th><th scope="col" class="number">${t("Memory")}</th><th scope="col" class="number">${t("Processor time")}</th><th scope="col" class="number">${t("Age")}</th></tr></thead>
        <tbody>${now.processes.map((one) => html`<tr key=${one.name}><th scope="row">${one.name}</th><td>${one.up ? t("runs") : html`${t("is away")}<small><${Name} text=${one.detail} /></small>`}</td><td class="number">${count(one.restarts)}</td><td class="number">${size(one.memoryBytes)}</td><td class="number">${duration(one.cpuS)}</td><td class="number">${duration(one.ageS)}</td></tr>`)}</tbody></table></div></section>
    <section aria-labelledby="ledger-title"><h2 id="ledger-title">${t("Users whose transfers were stopped")}</h2>
      <p class="dim">${t("Each such stop stands in their list as a failed upload; one user at most {n} a day.", { n: now.stopsPerDay })}</p>
      ${stops.length ? html`<div class="scroll" tabindex="0" role="group" aria-label=${t("Users whose transfers were stopped")}><table><thead><tr><th scope="col">${t("Day")}</th><th scope="col">${t("User")}</th><th scope="col" class="number">${t("Stops")}</th></tr></thead>
        <tbody>${stops.map((one) => html`<tr><td>${one.day}</td><th scope="row"><${Name} text=${one.username} /></th><td class="number">${count(one.count)}</td></tr>`)}</tbody></table></div>` : html`<p class="dim">${t("None.")}</p>`}</section>
    <section aria-labelledby="known-title"><h2 id="known-title">${t("Users known from earlier jobs")}</h2>
      ${users.length ? html`<div class="scroll" tabindex="0" role="group" aria-label=${t("Users known from earlier jobs")}><table><thead><tr><th scope="col">${t("User")}</th><th scope="col" class="number">${t("Rate")}</th><th scope="col" class="number">${t("To the first byte")}</th><th scope="col">${t("Last fault")}</th><th scope="col">${t("Seen")}</th></tr></thead>
        <tbody>${users.map((one) => html`<tr key=${one.username}><th scope="row"><${Name} text=${one.username} /></th><td class="number">${one.rateBytesS ? rate(one.rateBytesS) : "–"}</td><td class="number">${one.setupS ? duration(one.setupS) : "–"}</td><td><${Name} text=${one.lastFault} /></td><td>${when(one.seenAt)}</td></tr>`)}</tbody></table></div>` : html`<p class="dim">${t("None.")}</p>`}</section>
  </div>`;
}
