// Folder downloads: a user's folder as one order; all of them, and one with its files.
import { ask, attempt, count, duration, get, html, percent, query, rate, ROOT, say, size, t, useEffect, useEvery, useState } from "./lib.js";
import { Bar, Button, Name, Said, State } from "./ui.js";
import { Back, Change, Nothing } from "./parts.js";
import { Jobs, jobsChanged } from "./jobs.js";

const PAGE = 100;
const ACTIONS = {
  pause: { label: "Pause", of: ["active", "queued"], said: "Paused: {name}", back: "resume" },
  resume: { label: "Resume", of: ["paused"], said: "Goes on: {name}", back: "pause" },
  retry: { label: "Try again", of: ["failed", "cancelled"], said: "Tried again: {name}", back: "cancel" },
  cancel: { label: "Cancel", of: ["active", "queued", "paused"], said: "Cancelled: {name}", back: "retry" },
};

function FolderCommands({ folder, changed, text }) {
  const command = (action) =>
    attempt(async () => {
      const { body } = await ask("POST", `${ROOT}/folders/${folder.id}/${action}`);
      const ids = body.done.map((job) => job.id);
      const { said, back } = ACTIONS[action];
      // Taken back only for the files that did it: others were paused or cancelled before.
      const undo = () => attempt(() => ask("POST", `${ROOT}/bulk`, { action: back, ids }).then(changed));
      if (ids.length) say(t(said, { name: folder.name.slice(0, 80) }), { undo });
      changed();
    });
  return html`<span class="commands">${Object.entries(ACTIONS).map(
    ([action, { label, of }]) => of.some((state) => folder.states[state]) && html`<${Change} icon=${action} label=${text ? t(label) : `${t(label)}: ${folder.name}`} quiet=${!text} onClick=${() => command(action)} />`,
  )}</span>`;
}

const done = (folder) => t("{n} of {all} files", { n: count(folder.states.sealed ?? 0), all: count(folder.fileCount) });
const pace = (folder) => [folder.rateBytesS > 0 && rate(folder.rateBytesS), folder.leftS != null && folder.leftS >= 0 && folder.state === "active" && t("{time} left", { time: duration(folder.leftS) })].filter(Boolean).join(" · ");
const Progress = ({ folder }) => html`<${Bar} part=${folder.percent} state=${folder.state} label=${t("Stored")} />`;

export function Folders() {
  const [folders, setFolders] = useState(null);
  const [most, setMost] = useState(PAGE);
  const [total, setTotal] = useState(0);
  const load = () => ask("GET", `${ROOT}/folders${query({ limit: most })}`).then(({ body, total }) => (setFolders(body), setTotal(total)), () => {});
  useEvery(3, load, [most]);
  if (!folders) return html`<div aria-busy="true"></div>`;
  return html`<section class="folders" aria-labelledby="folders-title">
    <h1 id="folders-title">${t("Folders")}</h1>
    ${!folders.length && html`<${Nothing} icon="folder" text=${t("No folder was ordered yet. Add slsk://user/folder/ with a slash at its end, or take a whole folder from a search.")} href="#/search" label=${t("Search")} />`}
    <ul class="plain matches">${folders.map((folder) => html`<li key=${folder.id} class="match folder">
      <div class="what"><b><a href=${`#/folder/${folder.id}`}><${Name} text=${folder.name} /></a></b><small>${t("from")} <${Name} text=${folder.username} /> · ${size(folder.sizeBytes)}</small></div>
      <div><${State} job=${folder} /><small>${done(folder)}</small></div>
      <div class="far"><${Progress} folder=${folder} /><small>${percent(folder.percent)}</small></div>
      <div class="time"><small>${pace(folder)}</small></div>
      <${FolderCommands} folder=${folder} changed=${load} />
    </li>`)}</ul>
    ${total > folders.length && html`<${Button} label=${t("{n} more", { n: count(total - folders.length) })} onClick=${() => setMost(most + PAGE)} />`}
  </section>`;
}

export function Folder({ id }) {
  const [folder, setFolder] = useState(null);
  const [why, setWhy] = useState([]);
  const [gone, setGone] = useState(false);
  const load = () => get(`${ROOT}/folders/${id}?files=false`).then(setFolder, (error) => error.kind === "unknown" && setGone(true));
  useEvery(2, load, [id]);
  useEffect(() => {
    if (folder && folder.state !== "sealed") get(`${ROOT}/folders/${id}/why`).then(setWhy, () => {});
    else setWhy([]);
  }, [id, folder?.state, folder?.states.sealed]);
  if (gone) return html`<${Nothing} icon="folder" text=${t("There is no such folder (any more).")} href="#/folders" label=${t("All folders")} />`;
  const reasons = [...new Set(why.map((one) => one.text).filter(Boolean))].slice(0, 3);
  const head = folder && html`<header class="one">
    <${Back} href="#/folders" label=${t("All folders")} />
    <div><h1><${Name} text=${folder.name} /></h1><p class="dim">${t("from")} <${Name} text=${folder.username} /> · <${Name} text=${folder.folder} /></p></div>
    <${FolderCommands} folder=${folder} changed=${() => (load(), jobsChanged())} text />
    <div class="sum"><${Progress} folder=${folder} />
      <p><b>${percent(folder.percent)}</b> <${State} job=${folder} /> <span class="dim">${[done(folder), size(folder.sizeBytes), pace(folder)].filter(Boolean).join(" · ")}</span></p>
      ${reasons.map((text) => html`<p class="why"><${Said} text=${text} /></p>`)}</div>
  </header>`;
  return html`<${Jobs} folder=${id} head=${head} counts=${folder?.states} />`;
}
