// The daemon's own affairs: login, limits, users who were stopped, processes, disk.
import { useState } from "./vendor/hooks.mjs";
import { ask, attempt, bytesOf, can, count, duration, get, html, rate, ROOT, say, size, status, t, useEvery, useStore, when } from "./lib.js";
import { Bar, Button, Field, Name } from "./ui.js";

const LOGINS = { online: "Logged in", connecting: "Connecting", offline: "Not logged in", none: "No account" };
const day = (number) => new Intl.DateTimeFormat(document.documentElement.lang, { weekday: "short" }).format(new Date(2024, 0, 1 + number));
const clock = (minute) => `${String(Math.floor(minute / 60)).padStart(2, "0")}:${String(minute % 60).padStart(2, "0")}`;

function Login({ now }) {
  const order = (method) => attempt(() => ask(method, "/api/v0/server").then(() => say(method === "PUT" ? t("Logging in") : t("Logged out"))));
  return html`<section aria-labelledby="login-title"><h2 id="login-title">Soulseek</h2>
    <p class="big"><span class=${`dot ${now.login}`}></span> <b>${t(LOGINS[now.login] ?? now.login)}</b></p>
    <p class="dim">${now.username ? html`<${Name} text=${now.username} /> · ${now.server}` : t("Without an account there are HTTP sources only.")}</p>
    ${now.loginDetail && html`<p><${Name} text=${now.loginDetail} /></p>`}
    ${now.username && can("ReadWrite") && html`<p class="commands">${now.login === "online" ? html`<${Button} label=${t("Log out of Soulseek")} onClick=${() => order("DELETE")} />` : html`<${Button} kind="main" label=${t("Log in to Soulseek")} onClick=${() => order("PUT")} />`}</p>`}
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
  const load = () => get(`${ROOT}/status`).then((found) => status.set(found), () => {});
  useEvery(5, load);
  useEvery(15, () => {
    get(`${ROOT}/stops?limit=200`).then(setStops, () => {});
    get(`${ROOT}/users?limit=50`).then(setUsers, () => {});
    get(`${ROOT}/jobs?state=active&limit=200`).then((jobs) => setHeld(jobs.filter((job) => job.queuePlace)), () => {});
  });
  if (!now) return html`<div aria-busy="true"></div>`;
  const used = now.diskBytes ? (100 * (now.diskBytes - now.diskFreeBytes)) / now.diskBytes : 0;
  return html`<div class="network"><h1>${t("Network")}</h1>
    <div class="cards">
      <${Login} now=${now} />
      <${Limits} now=${now} load=${load} />
      <section aria-labelledby="disk-title"><h2 id="disk-title">${t("Disk")}</h2>
        <p class="big"><b>${size(now.diskFreeBytes)}</b> ${t("free")}</p><${Bar} part=${used} state="" label=${t("Used")} /><p class="dim"><${Name} text=${now.downloads} /></p>
        <dl class="pairs"><dt>${t("Received in all")}</dt><dd>${size(now.receivedBytes)}</dd><dt>${t("Fetched again")}</dt><dd>${size(now.refetchedBytes)}</dd><dt>${t("Transfers stopped early")}</dt><dd>${count(now.stops)}</dd></dl></section>
      <section aria-labelledby="held-title"><h2 id="held-title">${t("Places in queues")}</h2>
        ${held.length ? html`<ul class="plain">${held.map((job) => html`<li key=${job.id}><a href=${`#/job/${job.id}`}><${Name} text=${job.name} /></a> · ${t("place {n}", { n: job.queuePlace })}</li>`)}</ul>` : html`<p class="dim">${t("None is held.")}</p>`}
        <h3>${t("Uploads")}</h3><p class="dim">${t("Uploads are not listed here.")}</p></section>
    </div>
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
