// New downloads: addresses, folders of users, Metalinks, by hand or dropped; and limits of jobs.
import { ask, bytesOf, html, Refused, ROOT, said, say, size, status, t, useEffect, useState } from "./lib.js";
import { Button, Field, Name } from "./ui.js";
import { FormDialog } from "./parts.js";

/** What people write for a limit, in bytes a second: NaN for nonsense, 0 for nothing. */
const bytesIn = (text) => (text.trim() ? bytesOf(text) : 0);
const Input = ({ bytes, set, ...rest }) => html`<input ...${rest} aria-invalid=${Boolean(bytes && isNaN(bytesIn(rest.value)))} onInput=${(event) => set(event.target.value)} />`;

/** A limit in bytes a second, which `send` takes. */
export function LimitDialog({ close, title = t("Limit"), limit, send }) {
  const [text, setText] = useState(limit ? size(limit) : "");
  return html`<${FormDialog} title=${title} label=${t("Set the limit")} ready=${!isNaN(bytesIn(text))} send=${() => send(bytesIn(text))} close=${close}>
    <${Field} label=${t("At most, a second")} hint=${t("Like 500 KB or 2 MiB; empty: no limit.")}><${Input} bytes value=${text} set=${setText} /></${Field}></${FormDialog}>`;
}

/** What a Metalink document seems to have, to be shown before it is sent: the daemon reads it. No markup is made of it. */
function readMetalink(text) {
  const plain = (word) => word.replace(/&(lt|gt|amp|quot|apos);/g, (_, name) => ({ lt: "<", gt: ">", amp: "&", quot: '"', apos: "'" })[name]).trim();
  const inside = (body, tag) => [...body.matchAll(new RegExp(`<${tag}(\\s[^>]*)?>([^<]*)</${tag}>`, "gi"))];
  return [...text.matchAll(/<file\s+name="([^"]*)"[^>]*>([\s\S]*?)<\/file>/gi)].map(([, name, body]) => ({
    filename: plain(name).split(/[\\/]/).pop(),
    fileSize: Number(inside(body, "size")[0]?.[2]) || null,
    sources: inside(body, "url").length,
  }));
}

const nameOf = (url) => {
  try {
    return decodeURIComponent(new URL(url).pathname.split("/").pop() ?? "").split("\\").pop();
  } catch {
    return "";
  }
};

/** `{ username, remoteFolder }` of the address of a user's folder, which ends with a slash; null of anything else. */
function folderOf(url) {
  try {
    const [, user, path] = /^slsk:\/\/([^/]+)\/(.+)$/i.exec(url) ?? [];
    const whole = path && decodeURIComponent(path);
    const remoteFolder = whole && /[\\/]$/.test(whole) && whole.replace(/[\\/]+$/, "");
    return remoteFolder ? { username: decodeURIComponent(user), remoteFolder } : null;
  } catch {
    return null;
  }
}

/** Order once, also where the answer is lost and the browser asks again. */
const order = async (what, body) => (await ask("POST", `${ROOT}/${what}`, body, { "Idempotency-Key": crypto.randomUUID?.() ?? String(Math.random()) })).body;

export const orderFolder = async (wanted) => {
  const folder = await order("folder", wanted);
  say(t("Ordered: one file of {name}|Ordered: {n} files of {name}", { n: folder.fileCount, name: folder.name.slice(0, 80) }));
  return folder;
};

export function AddDialog({ close, changed, text: given = "", files: dropped = [] }) {
  const [text, setText] = useState(given);
  const [documents, setDocuments] = useState([]); // { name, content, files }
  const [chosen, setApart] = useState(null);
  const [recursive, setRecursive] = useState(false);
  const [more, setMore] = useState({ name: "", checksum: "", folder: "", limit: "", fileSize: "" });
  const [trouble, setTrouble] = useState("");
  const [busy, setBusy] = useState(false);
  const all = text.split(/\s*\n\s*/).map((line) => line.trim()).filter((line) => line && !line.startsWith("#"));
  const lines = all.filter((line) => !folderOf(line));
  const folders = all.filter(folderOf);
  const apart = chosen ?? new Set(lines.map(nameOf)).size > 1; // mirrors of one file mostly call it the same
  const odd = all.find((line) => !/^(https?|slsk):\/\/\S+$/i.test(line));
  const single = !apart && lines.length > 0;
  const read = async (dropped) => {
    for (const file of dropped) {
      const content = await file.text();
      if (/<metalink/i.test(content)) setDocuments((documents) => [...documents, { name: file.name, content, files: readMetalink(content) }]);
      else setText((text) => `${text}${text && !text.endsWith("\n") ? "\n" : ""}${content}`);
    }
  };
  useEffect(() => void read(dropped), []);
  const send = async () => {
    setBusy(true);
    setTrouble("");
    const shared = { folder: more.folder || null, limit: bytesIn(more.limit) };
    const one = single ? { fileSize: bytesIn(more.fileSize) || null, checksum: more.checksum.trim() || null } : { fileSize: null };
    let made = 0;
    const wrong = [];
    /** Order each, and return those that were refused: what went through is not ordered again with them. */
    const refused = async (wanted, name, work) => {
      const left = [];
      for (const each of wanted)
        try {
          made += await work(each);
        } catch (error) {
          if (!(error instanceof Refused)) throw error;
          left.push(each);
          wrong.push(wanted.length > 1 || wrong.length ? `${name(each)}: ${error.message}` : error.message);
        }
      return left;
    };
    const lists = await refused(single ? [lines] : lines.map((line) => [line]), ([url]) => nameOf(url) || url, async (urls) => {
      const filename = (single && more.name.trim()) || nameOf(urls[0]) || "download";
      await order("download", { ...shared, ...one, filename, sources: urls.map((url) => ({ url })) });
      return 1;
    });
    const unread = await refused(documents, (each) => each.name, async ({ content }) => {
      const { files, notes } = await order("metalink", { ...shared, document: content });
      for (const note of notes.slice(0, 2)) say(said(note));
      return files.length;
    });
    const away = await refused(folders, (url) => url, async (url) => (await orderFolder({ ...folderOf(url), ...shared, recursive }), 0));
    setText([...lists.flat(), ...away].join("\n"));
    setDocuments(unread);
    setTrouble(wrong.slice(0, 5).join("; "));
    setBusy(false);
    if (made) say(t("One job added|{n} jobs added", { n: made }));
    changed();
    return !wrong.length;
  };
  const field = (key, label, rest) => html`<${Field} label=${label}><${Input} ...${rest} value=${more[key]} set=${(value) => setMore({ ...more, [key]: value })} /></${Field}>`;
  const choice = (value, label) => html`<label><input type="radio" name="kind" checked=${apart === value} onChange=${() => setApart(value)} /> ${label}</label>`;
  const ready = (all.length || documents.length) && !odd && !busy && ![more.limit, more.fileSize].some((one) => isNaN(bytesIn(one)));
  return html`<${FormDialog} wide title=${t("Add downloads")} label=${t("Add")} ready=${ready} send=${send} close=${close}>
    <div onDragOver=${(event) => event.preventDefault()} onDrop=${(event) => event.dataTransfer.files.length && (event.preventDefault(), read(event.dataTransfer.files))}>
      <${Field} label=${t("Addresses, one a line")} hint=${t("http://, https:// or slsk://user/path; with a slash at the end: a user's whole folder")}>
        <textarea rows="5" value=${text} onInput=${(event) => setText(event.target.value)} spellcheck="false"></textarea></${Field}>
      <p class="drop"><label class="button">${t("Choose Metalink or text files")}<input class="unseen" type="file" multiple accept=".meta4,.metalink,.txt,text/plain" onChange=${(event) => read(event.target.files)} /></label> <span class="dim">${t("or drop them here")}</span></p>
      ${documents.length > 0 && html`<ul class="plain">${documents.map((each, at) => html`<li><${Name} text=${each.name} /> <${Button} quiet icon="delete" label=${t("Remove {name}", { name: each.name })} onClick=${() => setDocuments(documents.filter((_, other) => other !== at))} />
        <ul>${each.files.map((file) => html`<li><${Name} text=${file.filename} /> <span class="dim">${size(file.fileSize)} · ${t("one source|{n} sources", { n: file.sources })}</span></li>`)}</ul></li>`)}</ul>`}
      ${folders.length > 0 && html`<p><label><input type="checkbox" checked=${recursive} onChange=${() => setRecursive(!recursive)} /> ${t("also the folders below")}</label></p>`}
      ${lines.length > 1 && html`<fieldset><legend>${t("These addresses are")}</legend>
        ${choice(false, t("one file, to be fetched from all of them"))}${choice(true, t("a file each"))}</fieldset>`}
      <div class="columns">
        ${single && html`${field("name", t("Name of the file"), { placeholder: nameOf(lines[0]) })}${field("fileSize", t("Size, when known"), { bytes: true })}${field("checksum", t("Checksum, when known"), { placeholder: "sha256:…", spellcheck: false })}`}
        ${field("folder", t("Folder"), { placeholder: status.value?.downloads })}${field("limit", t("Limit, a second"), { bytes: true, placeholder: "2 MiB" })}
      </div>
      <p class="trouble" role="alert">${odd ? t("No address: {line}", { line: odd.slice(0, 120) }) : trouble}</p>
    </div>
  </${FormDialog}>`;
}
