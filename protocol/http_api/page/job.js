// One job: the map of who sent what, sources, rates, what happened, what it claims.
import { ask, attempt, base, bytesOf, can, count, duration, get, html, Live, paint, percent, rate, ROOT, said, say, size, t, useEffect, useEvery, useMemo, useRef, useState, when } from "./lib.js";
import { Bar, Button, Field, Name, Said, State } from "./ui.js";
import { Back, Calm, Canvas, Change, FormDialog, Nothing, Section, Table } from "./parts.js";
import { Commands, ENDED, jobsChanged } from "./jobs.js";

const MISSING = 0;
const LEASED = 1;
const STORED = 2;
const HISTORY = 300; // samples of the chart, one a second

// ---- colours and patterns: a sender is told by both, so neither is needed alone

const LIGHT = ["#0b7285", "#d9480f", "#5f3dc4", "#2b8a3e", "#c2255c", "#1864ab", "#946200", "#087f5b", "#862e9c", "#495057", "#a61e4d", "#364fc7"];
const DARK = ["#3bc9db", "#ff922b", "#b197fc", "#69db7c", "#f783ac", "#74c0fc", "#ffd43b", "#38d9a9", "#e599f7", "#ced4da", "#ff8787", "#91a7ff"];
const PATTERNS = 8;

let dark, forced;
const schemes = ["(prefers-color-scheme: dark)", "(forced-colors: active)"].map((query) => matchMedia(query));
const look = () => {
  const chosen = document.documentElement.dataset.theme;
  dark = chosen === "dark" || (chosen !== "light" && schemes[0].matches);
  forced = schemes[1].matches;
};
look();
for (const one of schemes) one.addEventListener("change", look);
document.addEventListener("theme", look);

const colour = (source) => (forced ? "CanvasText" : source < 0 ? "#868e96" : (dark ? DARK : LIGHT)[source % 12]);
const kindOf = (source) => (source < 0 ? 7 : (source + Math.floor(source / 12)) % PATTERNS);

const tiles = new Map();
/** A tile of 8 by 8 with the pattern of a source, drawn once for each theme. */
function pattern(context, source) {
  const key = `${source < 0 ? -1 : source % 96}${dark}${forced}`;
  let tile = tiles.get(key);
  if (!tile) {
    tile = Object.assign(document.createElement("canvas"), { width: 8, height: 8 });
    const on = tile.getContext("2d");
    on.fillStyle = colour(source);
    on.fillRect(0, 0, 8, 8);
    on.strokeStyle = on.fillStyle = forced ? "Canvas" : dark ? "rgba(0,0,0,.45)" : "rgba(255,255,255,.55)";
    on.lineWidth = 1.5;
    const line = (...points) => {
      on.beginPath();
      for (let at = 0; at < points.length; at += 4) on.moveTo(points[at], points[at + 1]), on.lineTo(points[at + 2], points[at + 3]);
      on.stroke();
    };
    [() => {}, () => line(-2, 10, 10, -2, -2, 2, 2, -2, 6, 10, 10, 6), () => on.fillRect(2, 2, 3, 3), () => line(0, 4, 8, 4), () => line(-2, -2, 10, 10, -2, 6, 2, 10, 6, -2, 10, 2), () => line(4, 0, 4, 8), () => line(0, 4, 8, 4, 4, 0, 4, 8), () => (on.fillRect(1, 1, 2, 2), on.fillRect(5, 5, 2, 2))][kindOf(source)]();
    tiles.set(key, tile);
  }
  return context.createPattern(tile, "repeat");
}

function Swatch({ source }) {
  return html`<${Canvas} class="swatch" aria-hidden="true" again=${[source]} draw=${(on, width, height) => ((on.fillStyle = pattern(on, source)), on.fillRect(0, 0, width, height))} />`;
}

// ---- the map

/** Ranges `[first, count, state, source]` in order, with those of `change` in the place of what was there. */
function merged(ranges, change, now = 0) {
  const out = [];
  let at = 0;
  let rest = null; // what a change leaves of the range it ends in
  const next = () => rest ?? ranges[at];
  const pass = () => (rest ? (rest = null) : 0, at++);
  // Beside what it is, a range has when its first and last chunk came; 0: before this page looked.
  const put = (first, stop, [, , state, source, since = 0, until = 0]) => {
    const before = out[out.length - 1];
    if (before && before[2] === state && before[3] === source && before[0] + before[1] === first) (before[1] = stop - before[0]), (before[5] = Math.max(before[5], until));
    else out.push([first, stop - first, state, source, since, until]);
  };
  for (const one of [...change].sort((a, b) => a[0] - b[0])) {
    const [first, length, state, source] = one;
    const stop = first + length;
    for (let old; (old = next()) && old[0] + old[1] <= first; pass()) put(old[0], old[0] + old[1], old);
    const old = next();
    if (old && old[0] < first) put(old[0], first, old);
    const grew = old && old[0] < stop && old[2] === state && old[3] === source;
    put(first, stop, [0, 0, state, source, grew ? old[4] : now, now]);
    for (let over; (over = next()) && over[0] + over[1] <= stop; ) pass();
    const cut = next();
    if (cut && cut[0] < stop) rest = [stop, cut[0] + cut[1] - stop, ...cut.slice(2)];
  }
  for (let old; (old = next()); pass()) put(old[0], old[0] + old[1], old);
  return out;
}

const ROW = 22;
const GAP = 6;

/** Where the heads of the transfers are: the first chunk of each lease that is not there yet. */
const headsOf = (ranges) => {
  const heads = new Map();
  for (const [first, , state, source] of ranges) if (state === LEASED && source >= 0 && !heads.has(source)) heads.set(source, first);
  return heads;
};

/** Index of the range that has this chunk. */
function rangeAt(ranges, chunk) {
  let low = 0;
  let high = ranges.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (ranges[middle][0] <= chunk) low = middle;
    else high = middle - 1;
  }
  return low;
}

const shown = new WeakMap(); // what is on a canvas, so that only what differs is drawn

/** Draw the map; `picture.changes` are ranges `[first, stop]` that differ from the picture drawn before. */
function drawMap(on, width, height, picture, marks, picked) {
  const { ranges, chunks } = picture;
  const rows = Math.max(1, Math.floor((height + GAP) / (ROW + GAP)));
  const perRow = chunks / rows;
  const style = getComputedStyle(on.canvas);
  const [track, ground, ink, good, bad] = ["--track", "--ground", "--ink", "--good", "--bad"].map((name) => (forced && name !== "--ground" ? (name === "--track" ? "Canvas" : "CanvasText") : style.getPropertyValue(name)));
  const heads = [...headsOf(ranges)];
  const now = { heads, picked, key: [width, height, chunks, dark, forced, track, marks.key].join() };
  const before = shown.get(on.canvas);
  shown.set(on.canvas, now);
  const dirty = Array.from({ length: rows }, () => []);
  const touch = (first, stop) => {
    for (let row = Math.max(0, Math.floor(first / perRow)); row < rows && row * perRow <= stop; row++)
      dirty[row].push([Math.floor(((first - row * perRow) / perRow) * width) - 11, Math.ceil(((stop - row * perRow) / perRow) * width) + 11]);
  };
  if (before?.key !== now.key || picture.changes === null || picture.changes.length > 400) for (const spans of dirty) spans.push([0, width]);
  else {
    for (const [first, stop] of picture.changes) touch(first, stop);
    for (const [, first] of [...before.heads, ...heads]) touch(first, first);
    for (const one of [before.picked, picked]) if (one && before.picked !== picked) touch(one[0], one[0] + one[1]);
  }
  picture.changes = [];
  const fills = new Map();
  const fillOf = (source) => fills.get(source) ?? fills.set(source, pattern(on, source)).get(source);
  const part = (row, from, to) => {
    const y = row * (ROW + GAP);
    const x = (chunk) => Math.max(from, Math.min(to, ((chunk - row * perRow) / perRow) * width));
    const within = (chunk) => chunk >= row * perRow && chunk < (row + 1) * perRow;
    on.save();
    on.beginPath();
    on.rect(from, y - 3, to - from, ROW + GAP);
    on.clip();
    on.clearRect(from, y - 3, to - from, ROW + GAP);
    on.fillStyle = track;
    on.fillRect(from, y, to - from, ROW);
    const stop = (row + to / width) * perRow;
    for (let at = rangeAt(ranges, (row + from / width) * perRow); at < ranges.length && ranges[at][0] < stop; at++) {
      const [first, length, state, source] = ranges[at];
      if (state === MISSING) continue;
      on.fillStyle = fillOf(source);
      // Stored is a full bar, what is on its way a thin one: told apart without any colour.
      if (state === STORED) on.fillRect(x(first), y, x(first + length) - x(first), ROW);
      else on.fillRect(x(first), y + ROW / 2 - 2, x(first + length) - x(first), 4);
    }
    for (const [first, last] of marks.freed) {
      on.fillStyle = ink;
      for (let at = x(first); at < x(last); at += 4) on.fillRect(at, y + ROW - 2, 2, 2);
    }
    for (const [places, agree] of [[marks.agreed, true], [marks.disagreed, false]])
      for (const chunk of places.filter(within)) drawMark(on, ((chunk + 0.5 - row * perRow) / perRow) * width, y + ROW / 2, agree, agree ? good : bad, ground);
    for (const [source, first] of heads) {
      if (Math.min(rows - 1, Math.floor(first / perRow)) !== row) continue;
      const tip = ((first - row * perRow) / perRow) * width;
      on.fillStyle = colour(source);
      on.strokeStyle = ground;
      on.lineWidth = 1.5;
      on.beginPath();
      on.moveTo(tip - 1, y - 2), on.lineTo(tip + 8, y + ROW / 2), on.lineTo(tip - 1, y + ROW + 2), on.closePath();
      on.fill(), on.stroke();
    }
    if (picked) {
      on.strokeStyle = ink;
      on.lineWidth = 2;
      const left = ((picked[0] - row * perRow) / perRow) * width;
      const right = ((picked[0] + picked[1] - row * perRow) / perRow) * width;
      if (right > 0 && left < width) on.strokeRect(Math.max(0, left) - 1, y - 1, Math.max(3, Math.min(width, right) - Math.max(0, left) + 2), ROW + 2);
    }
    on.restore();
  };
  dirty.forEach((spans, row) => {
    spans.sort((one, other) => one[0] - other[0]);
    for (let at = 0; at < spans.length; ) {
      let [from, to] = spans[at++];
      while (at < spans.length && spans[at][0] <= to) to = Math.max(to, spans[at++][1]);
      if (Math.max(0, from) < Math.min(width, to)) part(row, Math.max(0, from), Math.min(width, to));
    }
  });
}

/** A check where two sources sent the same chunk: a diamond where they agreed, a cross where they did not. */
function drawMark(on, x, y, agree, fill, ground) {
  on.beginPath();
  if (agree) on.moveTo(x, y - 5), on.lineTo(x + 5, y), on.lineTo(x, y + 5), on.lineTo(x - 5, y), on.closePath();
  else on.moveTo(x - 5, y - 5), on.lineTo(x + 5, y + 5), on.moveTo(x + 5, y - 5), on.lineTo(x - 5, y + 5);
  on.strokeStyle = ground;
  on.lineWidth = agree ? 3 : 5;
  on.stroke();
  on.strokeStyle = on.fillStyle = fill;
  on.lineWidth = 2.5;
  agree ? on.fill() : on.stroke();
}

const Mark = ({ agree }) => html`<${Canvas} class="swatch" aria-hidden="true" again=${[agree]} draw=${(on, width, height) => {
  const style = getComputedStyle(on.canvas);
  on.clearRect(0, 0, width, height);
  drawMark(on, width / 2, height / 2, agree, forced ? "CanvasText" : style.getPropertyValue(agree ? "--good" : "--bad"), style.getPropertyValue("--ground"));
}} />`;

/** Where checks were made and what was taken back, by what is known of the content. */
const marksOf = (identity) => {
  const { agreedChunks: agreed, disagreedChunks: disagreed, freedFirsts, freedStops } = identity;
  return { agreed, disagreed, freed: freedFirsts.map((first, at) => [first, freedStops[at]]), key: [agreed, disagreed, freedFirsts, freedStops].join(";") };
};

/** In words, the checks in a range of chunks. */
const checksIn = (marks, first, stop) => {
  const within = (places) => places.filter((chunk) => chunk >= first && chunk < stop).length;
  const [agreed, disagreed] = [within(marks.agreed), within(marks.disagreed)];
  return [
    agreed && t("one check agrees|{n} checks agree", { n: agreed }),
    disagreed && t("one check disagreed|{n} checks disagreed", { n: disagreed }),
    marks.freed.some(([from, to]) => from < stop && to > first) && t("fetched again"),
  ].filter(Boolean);
};

/** When a range came: what was stored before the page was opened came before that. */
function cameAt([, , state, , since, until], opened) {
  if (state !== STORED) return "";
  if (!until) return t("before {time}", { time: when(opened, true) });
  if (!since) return t("until {time}", { time: when(until, true) });
  return until - since > 1000 ? t("{from} to {to}", { from: when(since, true), to: when(until, true) }) : when(until, true);
}

function Map_({ id, picture, opened, sources, marks, chunkSize, fileSize }) {
  const [picked, setPicked] = useState(-1);
  const [chunk, setChunk] = useState(-1); // whose digest is shown: the one that is pointed at, or the first of its range
  const [digest, setDigest] = useState("");
  const { ranges, chunks } = picture;
  const box = useRef();
  const range = ranges[Math.min(picked, ranges.length - 1)];
  const words = (one) => {
    if (!one) return t("Point at the map, or move along it with the arrow keys.");
    const [first, length, state, source] = one;
    const from = size(first * chunkSize);
    const to = size(Math.min(fileSize, (first + length) * chunkSize));
    const who = sources.get(source)?.label ?? (state === STORED ? t("an earlier source") : "");
    const what = state === STORED ? t("stored, from {who}", { who }) : state === LEASED ? t("on its way from {who}", { who }) : t("missing");
    const checks = checksIn(marks, first, first + length).map((one) => `; ${one}`).join("");
    const came = state === STORED ? `, ${cameAt(one, opened)}` : "";
    return t("{from} to {to} (chunks {first} to {last}): {what}", { from, to, first: count(first), last: count(first + length - 1), what: what + came }) + checks;
  };
  useEffect(() => {
    setDigest("");
    if (chunk < 0 || range?.[2] !== STORED) return;
    const timer = setTimeout(() => get(`${ROOT}/jobs/${id}/chunks/${chunk}`).then((found) => setDigest(found.digest ?? ""), () => {}), 120);
    return () => clearTimeout(timer);
  }, [chunk, range?.[2]]);
  const at = (event) => {
    const place = box.current.getBoundingClientRect();
    const rows = Math.max(1, Math.floor((place.height + GAP) / (ROW + GAP)));
    const row = Math.min(rows - 1, Math.floor((event.clientY - place.top) / (ROW + GAP)));
    const pointed = Math.min(chunks - 1, Math.floor(((row + (event.clientX - place.left) / place.width) / rows) * chunks));
    setChunk(pointed);
    setPicked(rangeAt(ranges, pointed));
  };
  const keys = (event) => {
    const to = { ArrowRight: picked + 1, ArrowLeft: picked - 1, ArrowDown: picked + 1, ArrowUp: picked - 1, Home: 0, End: ranges.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    const next = Math.max(0, Math.min(ranges.length - 1, to));
    setPicked(next);
    setChunk(ranges[next][0]);
  };
  return html`<div class="map">
    <div ref=${box} role="slider" tabindex="0" aria-label=${t("Map of the file")} aria-valuemin="0" aria-valuemax=${Math.max(0, ranges.length - 1)} aria-valuenow=${Math.max(0, picked)} aria-valuetext=${words(range)}
      onPointerMove=${at} onPointerDown=${at} onPointerLeave=${() => (setPicked(-1), setChunk(-1))} onKeyDown=${keys}>
      <${Canvas} aria-hidden="true" again=${[picture, picked, marks.key]} draw=${(on, width, height) => drawMap(on, width, height, picture, marks, range)} />
    </div>
    <p class="reading">${words(range)}${digest && html` <span>${t("chunk {n}:", { n: count(chunk) })} <code>${digest}</code></span>`}</p>
  </div>`;
}

function MapTable({ picture, opened, sources, marks, chunkSize }) {
  const [open, setOpen] = useState(false);
  const [most, setMost] = useState(100);
  const names = [t("missing"), t("on its way"), t("stored")];
  return html`<details onToggle=${(event) => setOpen(event.target.open)}><summary>${t("The map as a table")}</summary>
    ${open && html`<${Table} label=${t("The map as a table")} columns=${["From", "Size", "State", "Source", "Checks", "Time"]} rows=${picture.ranges.slice(0, most).map((range) => {
        const [first, length, state, source] = range;
        return [size(first * chunkSize), size(length * chunkSize), names[state], html`<${Name} text=${sources.get(source)?.label} />`, checksIn(marks, first, first + length).join(", "), cameAt(range, opened)];
      })} />
      ${picture.ranges.length > most && html`<${Button} label=${t("{n} more", { n: count(picture.ranges.length - most) })} onClick=${() => setMost(most + 500)} />`}`}
  </details>`;
}

// ---- rates over time

const sampled = (rates) => ({ rates: new Map(rates), total: rates.reduce((sum, [, one]) => sum + one, 0) });

/** Samples a second apart from those that the daemon kept. */
const earlier = (kept) =>
  kept.flatMap(([ago, sources, rates], at) => Array(Math.round(ago - (kept[at + 1]?.[0] ?? 0))).fill(sampled(sources.map((source, n) => [source, rates[n]])))).slice(-HISTORY);

function drawRates(on, width, height, history, sources) {
  const style = getComputedStyle(on.canvas);
  on.clearRect(0, 0, width, height);
  if (history.length < 2) return;
  const top = Math.max(1024, ...history.map((sample) => sample.total)) * 1.1;
  const x = (at) => (at * width) / (Math.max(60, history.length) - 1) + Math.max(0, width - ((history.length - 1) * width) / (Math.max(60, history.length) - 1));
  const floor = new Float64Array(history.length);
  for (const source of sources) {
    const roof = history.map((sample, at) => floor[at] + (sample.rates.get(source) ?? 0));
    if (roof.every((value, at) => value === floor[at])) continue;
    on.beginPath();
    history.forEach((_, at) => on.lineTo(x(at), height - (roof[at] / top) * height));
    for (let at = history.length - 1; at >= 0; at--) on.lineTo(x(at), height - (floor[at] / top) * height);
    on.fillStyle = pattern(on, source);
    on.fill();
    floor.set(roof);
  }
  on.font = `11px ${style.fontFamily}`;
  for (const part of [0.5, 1]) {
    const y = height - (height * part) / 1.1;
    on.fillStyle = style.getPropertyValue("--line");
    on.fillRect(0, y, width, 1);
    const text = rate((top / 1.1) * part);
    on.fillStyle = style.getPropertyValue("--ground");
    on.globalAlpha = 0.75;
    on.fillRect(2, y + 2, on.measureText(text).width + 6, 14);
    on.globalAlpha = 1;
    on.fillStyle = style.getPropertyValue("--ink");
    on.fillText(text, 5, y + 13);
  }
}

function Spark({ samples }) {
  const most = Math.max(1, ...samples);
  const points = samples.map((value, at) => `${at ? "L" : "M"}${(60 - samples.length + at).toFixed()} ${(18 - (value / most) * 16).toFixed(1)}`);
  return html`<svg class="spark" viewBox="0 0 60 20" preserveAspectRatio="none" aria-hidden="true"><path d=${points.join("")} /></svg>`;
}

// ---- sources

const STANDINGS = { candidate: "Not used yet", queued: "In its queue", active: "Sending", cooling: "Resting", banned: "Banned", dropped: "Dropped" };
const PHASES = { probing: "Asking", connecting: "Connecting", queued: "In its queue", granted: "About to send", flowing: "Sending", stalled: "Stalled", resting: "Resting" };

/** What a source does, in words: one that gave something and waits for nothing is not unused. */
const standingOf = (source, over) => t((!over && PHASES[source.phase]) || (source.standing === "candidate" && source.leases && "Not needed now") || STANDINGS[source.standing] || source.standing);

function SourceRow({ source, total, budget, sparks, end, restore, prefer, commands, ended }) {
  const gone = ["banned", "dropped"].includes(source.standing);
  return useMemo(
    () => html`<tr class=${gone ? "gone" : ""}>
      <th scope="row"><${Swatch} source=${source.number} /> <${Name} text=${source.label} /><small><${Name} text=${source.fullPath ?? source.url} /></small></th>
      <td>${source.preferred && !gone && html`<span class="badge">${t("preferred")}</span> `}${ended && !gone ? (source.leases ? t(source.bytesStored > 0 ? "Sent its part" : "Sent nothing") : "–") : standingOf(source, gone)}${source.queuePlace != null && ` · ${t("place {n}", { n: source.queuePlace })}`}${source.reason && html`<small><${Said} text=${source.reason} /></small>`}</td>
      <td class="number rate">${source.rateBytesS > 0 ? rate(source.rateBytesS) : "–"}</td>
      <td class="last">${sparks && source.bytesStored > 0 && html`<${Spark} samples=${sparks.map((sample) => sample.rates.get(source.number) ?? 0)} />`}</td>
      <td class="number">${size(source.bytesStored)}</td>
      <td class="number">${total ? percent((100 * source.bytesStored) / total) : "–"}</td>
      <td class="number" data-label=${t("Leases")}>${count(source.leases)}</td>
      <td class="number" data-label=${t("Stops")}>${source.username ? t("{n} of {most}", { n: count(source.stops), most: count(budget) }) : "–"}</td>
      ${commands && html`<td class="commands">${!gone && html`<${Button} quiet icon="prefer" label=${t("Prefer {who}", { who: source.label })} aria-pressed=${source.preferred} onClick=${() => prefer(source)} /><${Button} quiet icon="cancel" label=${t("Drop {who}", { who: source.label })} onClick=${() => end(source, false)} /><${Button} quiet icon="ban" label=${t("Ban {who}", { who: source.label })} onClick=${() => end(source, true)} />`}${gone && html`<${Button} quiet icon="retry" label=${t("Use {who} again", { who: source.label })} onClick=${() => restore(source)} />`}</td>`}
    </tr>`,
    [source, sparks, commands, ended],
  );
}

function Sources({ job, sources, history, refresh }) {
  const total = [...sources.values()].reduce((sum, source) => sum + source.bytesStored, 0);
  const order = [...sources.values()].sort((a, b) => b.bytesStored - a.bytesStored || a.number - b.number);
  const end = (source, banned) =>
    attempt(async () => {
      await ask("DELETE", `${ROOT}/jobs/${job.id}/sources?source=${source.number}&banned=${banned}`);
      say(banned ? t("Banned: {who}", { who: source.label }) : t("Dropped: {who}", { who: source.label }), {
        undo: () => restore(source),
      });
      refresh();
    });
  const restore = (source) => attempt(() => ask("POST", `${ROOT}/jobs/${job.id}/sources/restore?source=${source.number}`).then(refresh));
  const prefer = (source, preferred = !source.preferred) =>
    attempt(async () => {
      await ask("PATCH", `${ROOT}/jobs/${job.id}/sources?source=${source.number}&preferred=${preferred}`);
      say(preferred ? t("Preferred: {who}", { who: source.label }) : t("No longer preferred: {who}", { who: source.label }), { undo: () => prefer(source, !preferred) });
    });
  const sparks = useMemo(() => (history.length > 1 ? history.slice(-60) : null), [history]);
  const commands = !ENDED.includes(job.state) && can("ReadWrite");
  return html`<${Table} class="sources" label=${t("Sources")} columns=${["Source", "State"]} numbers=${["Rate", "The last minute", "Sent", "Share", "Leases", "Stops"]} end=${commands && t("Commands")}
    rows=${order.map((source) => html`<${SourceRow} key=${source.number} source=${source} total=${total} budget=${job.stopBudget} sparks=${sparks} end=${end} restore=${restore} prefer=${prefer} commands=${commands} ended=${ENDED.includes(job.state)} />`)} />`;
}

function MoreSources({ job, close }) {
  const [text, setText] = useState("");
  const add = () => ask("POST", `${ROOT}/jobs/${job.id}/sources`, { sources: text.split(/\s+/).filter(Boolean).map((url) => ({ url })) });
  return html`<${FormDialog} title=${t("Add sources")} label=${t("Add")} ready=${text.trim()} send=${add} close=${close}>
    <${Field} label=${t("Addresses, one a line")} hint=${t("http://, https:// or slsk://user/path")}><textarea rows="4" value=${text} onInput=${(event) => setText(event.target.value)} spellcheck="false"></textarea></${Field}></${FormDialog}>`;
}

// ---- words

const PROVEN = { digest: "the digest of the whole file is as given", decoded: "the whole file was decoded, and its own checks hold", pieces: "every piece has the hash that was given" };

/** What is known of the content, in the words of the daemon's `identity.text`, in the page's language. */
function claimOf({ kind, contributors, groups, checksAgreed, excludedShare, excluded, container }) {
  const checks = t("one overlap check agrees|{n} overlap checks agree", { n: checksAgreed });
  const frames = t("the file's own checks hold where sources meet");
  let text;
  if (PROVEN[kind]) text = t(PROVEN[kind]);
  else if (!contributors) text = t("nothing is stored yet");
  else if (contributors === 1) text = t("all of it is from one source") + (checksAgreed ? t(", and one overlap check with others agrees|, and {n} overlap checks with others agree", { n: checksAgreed }) : "");
  else if (groups > 1) text = t("{n} sources in {groups} groups that no check has tied yet", { n: contributors, groups });
  else if (!checksAgreed) text = kind === "frames" ? frames : t("equal size only: no check has compared the sources");
  else text = `${checks}${kind === "frames" ? `, ${frames}` : ""}; ${t("a differing share above {share} % is excluded at 99 %", { share: count(100 * excludedShare) })}`;
  return text + (container && `; ${said(container)}`) + (excluded.length ? t("; left out, other content: {who}", { who: excluded.slice(0, 20).map((url) => labelOf({ url })).join(", ") }) : "");
}

function Claim({ job }) {
  const waits = job.checksum && job.state !== "sealed";
  const wanted = waits ? `; ${t("it gets its name only if its {kind} matches", { kind: job.checksum.split(":")[0] })}` : "";
  return html`<p class=${`claim ${waits ? "waits" : job.identity.kind}`}><${Name} text=${claimOf(job.identity) + wanted} /></p>`;
}

const SAID = {
  "job.queued": () => t("Ordered"),
  "job.started": ({ attempt }) => t("Attempt {n} began", { n: attempt }),
  "job.noted": ({ text }) => html`<${Said} text=${text.replace(/(?:slsk|https?):\/\/[^\s]+?(?=:? |:?$)/g, (url) => labelOf({ url }))} />`,
  "job.paused": () => t("Paused"),
  "job.resumed": () => t("Back in the queue"),
  "job.sealed": ({ seconds, sources }) => t("Complete after {time}, from one source|Complete after {time}, from {n} sources", { time: duration(seconds), n: sources }),
  "job.failed": ({ reason }) => html`${t("Failed: {reason}", { reason: "" })}<${Said} text=${reason} />`,
  "job.cancelled": () => t("Cancelled"),
  "job.changed": ({ limitBytesS, priority }) => t("Limit {limit}, priority {priority}", { limit: limitBytesS ? rate(limitBytesS) : t("none"), priority }),
  "source.added": ({ url }) => t("Source added: {url}", { url: labelOf({ url }) }),
  "source.dropped": ({ url, banned }) => t(banned ? "Source banned: {url}" : "Source dropped: {url}", { url: labelOf({ url }) }),
  "source.preferred": ({ url, preferred }) => t(preferred ? "Source preferred: {url}" : "Source no longer preferred: {url}", { url: labelOf({ url }) }),
  "source.changed": ({ url, standing, reason }) => html`<${Name} text=${t("{url}: {standing} {reason}", { url: labelOf({ url }), standing: t(standing === "candidate" ? "Not needed now" : STANDINGS[standing] ?? standing), reason: "" })} />${reason && html`(<${Said} text=${reason} />)`}`,
};

function labelOf({ username, url }) {
  if (username) return username;
  try {
    const found = new URL(url);
    return found.protocol === "slsk:" ? decodeURIComponent(url.slice(7).split("/")[0]) : found.host;
  } catch {
    return url;
  }
}

const TIMELINE = 200;
const told = ({ kind, data }) => {
  const text = SAID[kind]?.(data) ?? kind;
  return typeof text === "string" ? html`<${Name} text=${text} />` : text;
};

function Timeline({ id, changes }) {
  const [events, setEvents] = useState([]);
  useEffect(() => {
    const load = async () => {
      const path = `${ROOT}/jobs/${id}/timeline`;
      const { total } = await ask("GET", `${path}?limit=1`);
      setEvents(await get(`${path}?limit=${TIMELINE}&offset=${Math.max(0, total - TIMELINE)}`));
    };
    const timer = setTimeout(() => load().catch(() => {}), changes ? 400 : 0); // many sources change together
    return () => clearTimeout(timer);
  }, [id, changes]);
  return html`<ol class="timeline" tabindex="0" aria-label=${t("What happened")}>${[...events].reverse().map((event) => html`<li key=${event.serial}><time datetime=${event.at} title=${when(event.at)}>${when(event.at, true)}</time> ${told(event)}</li>`)}</ol>`;
}

// ---- the view

/** Let the sources left out for other content have their way, unless it is taken back. */
const takeOther = (job) =>
  say(t("Instead, the file of {who} will be fetched", { who: job.identity.excluded.slice(0, 5).map((url) => labelOf({ url })).join(", ") }), {
    later: () => attempt(() => ask("POST", `${ROOT}/jobs/${job.id}/retry?otherGroup=true`).then(jobsChanged)),
  });

export function JobView({ id }) {
  const [version, setVersion] = useState(0);
  const [changes, setChanges] = useState(0);
  const [gone, setGone] = useState("");
  const [adding, setAdding] = useState(false);
  const [why, setWhy] = useState(null);
  const state = useMemo(() => ({ job: null, sources: new Map(), picture: { ranges: [], chunks: 0, changes: null }, history: [] }), [id]);
  const redraw = useMemo(() => () => setVersion((n) => n + 1), [id]);
  useEffect(() => {
    const take = (whole) => (change) => {
      if (whole) Object.assign(state, { job: {}, sources: new Map() });
      const before = state.job?.state;
      if (change.job) state.job = { ...state.job, ...change.job };
      let news = change.notes || false;
      for (const source of change.sources ?? []) {
        const old = state.sources.get(source.number);
        news ||= old?.standing !== source.standing || old.preferred !== source.preferred;
        state.sources.set(source.number, { ...source, label: labelOf(source) });
      }
      if (change.ranges) {
        const chunks = state.job.sizeBytes == null || !state.job.chunkSize ? 0 : Math.ceil(state.job.sizeBytes / state.job.chunkSize);
        const all = whole || chunks !== state.picture.chunks;
        const changes = all || state.picture.changes === null ? null : [...state.picture.changes, ...change.ranges.map(([first, length]) => [first, first + length])];
        state.picture = { chunks, changes, ranges: all ? change.ranges.sort((a, b) => a[0] - b[0]) : merged(state.picture.ranges, change.ranges, Date.now()) };
      }
      if (change.rates && !state.history.length) state.history = earlier(change.rates);
      if (before !== state.job?.state || news) setChanges((n) => n + 1);
      paint(redraw);
    };
    const live = new Live(`${ROOT}/jobs/${id}/live`, { whole: take(true), change: take(false), ended: ({ detail }) => (setGone(detail), live.close()) });
    get(`${ROOT}/jobs/${id}?chunkMap=false`).catch((error) => (setGone(error.message), live.close()));
    const sample = setInterval(() => {
      if (document.hidden || state.job?.state !== "active") return;
      state.history = [...state.history.slice(1 - HISTORY), sampled([...state.sources].map(([number, source]) => [number, source.rateBytesS]))];
      paint(redraw);
    }, 1000);
    return () => (live.close(), clearInterval(sample));
  }, [id]);
  const { job, sources, picture, history } = state;
  const opened = Math.min(useMemo(Date.now, [id]), Date.parse(job?.endedAt) || Infinity);
  useEvery(4, () => get(`${ROOT}/jobs/${id}/why`).then(setWhy, () => {}), [id, job?.state]);
  if (gone) return html`<${Nothing} icon="jobs" text=${t("There is no such job (any more).")} href="#/jobs" label=${t("All jobs")} />`;
  if (!job) return html`<div aria-busy="true"></div>`;
  const marks = marksOf(job.identity);
  const senders = [...sources.values()].filter((source) => source.bytesStored || source.leaseFirst != null).sort((a, b) => b.bytesStored - a.bytesStored);
  return html`<article class="job">
    <header class="one">
      <${Back} href="#/jobs" label=${t("All jobs")} />
      <div><h1><${Name} text=${job.name || job.term || t("(no name yet)")} /></h1><p class="dim"><${Name} text=${job.path ?? job.folder} /></p></div>
      <${Commands} jobs=${[job]} text />
    </header>
    <section class="figures" aria-label=${t("Progress")}>
      <div class="big"><b>${percent(job.percent)}</b><${State} job=${job} /></div>
      <${Bar} part=${job.percent} state=${job.state} label=${t("Stored")} />
      <dl>
        <div><dt>${t("Rate")}</dt><dd>${job.state === "active" ? rate(job.rateBytesS) : "–"}</dd></div>
        <div><dt>${t("Time left")}</dt><dd>${job.state === "active" ? duration(job.leftS) : "–"}</dd></div>
        <div><dt>${t("Size")}</dt><dd>${size(job.sizeBytes)}</dd></div>
        <div><dt>${t("Sources")}</dt><dd>${job.state === "active" ? t("{n} of {all} send", { n: job.sourcesActive, all: job.sourceCount }) : count(job.sourceCount)}</dd></div>
        <div><dt>${t("Fetched again")}</dt><dd>${size(job.refetchedBytes)}</dd></div>
        <div><dt>${t("Limit")}</dt><dd>${job.limit ? rate(job.limit) : t("none")}</dd></div>
      </dl>
      <${Claim} job=${job} />
      ${ENDED.includes(job.state) && !job.checksum && job.identity.excluded.length > 0 && html`<p><${Change} icon="retry" label=${t("Take the other version")} onClick=${() => takeOther(job)} /></p>`}
      ${job.state !== "sealed" && (job.reason || why) && html`<p class="why"><${Said} text=${job.reason ?? why.text} /></p>`}
    </section>
    <${Section} title=${t("Who sent which part")}>
      ${picture.chunks > 0
        ? html`<${Map_} id=${id} picture=${picture} opened=${opened} sources=${sources} marks=${marks} chunkSize=${job.chunkSize} fileSize=${job.sizeBytes} />
          <ul class="legend">${senders.slice(0, 24).map((source) => html`<li key=${source.number}><${Swatch} source=${source.number} /> <${Name} text=${source.label} /></li>`)}
            <li class="kind"><i class="full"></i> ${t("stored")}</li><li class="kind"><i class="thin"></i> ${t("on its way")}</li><li class="kind"><i></i> ${t("missing")}</li>
            ${marks.agreed.length > 0 && html`<li class="kind"><${Mark} agree /> ${t("two sources agree")}</li>`}${marks.disagreed.length > 0 && html`<li class="kind"><${Mark} agree=${false} /> ${t("two sources disagreed")}</li>`}${marks.freed.length > 0 && html`<li class="kind"><i class="freed"></i> ${t("fetched again")}</li>`}</ul>
          <${Calm} version=${version} ms=${1000} draw=${() => html`<${MapTable} picture=${state.picture} opened=${opened} sources=${state.sources} marks=${marksOf(state.job.identity)} chunkSize=${job.chunkSize} />`} />`
        : html`<p class="dim">${t("The map appears once the size of the file is known.")}</p>`}
    </${Section}>
    ${history.length > 1 && html`<${Section} title=${t("Rate by source, the last five minutes")}>
      <${Canvas} class="rates" role="img" aria-label=${t("Now {rate} from {n} sources", { rate: rate(job.rateBytesS), n: job.sourcesActive })} again=${[history]} draw=${(on, width, height) => drawRates(on, width, height, history, senders.map((source) => source.number))} /></${Section}>`}
    <${Section} class="left" title=${t("Sources")}>
      <${Calm} version=${version} draw=${() => html`<${Sources} job=${state.job} sources=${state.sources} history=${state.history} refresh=${redraw} />`} />
      ${!ENDED.includes(job.state) && html`<${Change} icon="add" label=${t("Add sources")} onClick=${() => setAdding(true)} />`}
    </${Section}>
    <${Section} class="right" title=${t("What happened")}>
      <${Timeline} id=${id} changes=${changes} />
      <p class="commands"><a class="button" href=${`${base}${ROOT}/jobs/${id}/manifest`} download=${`${job.name}.manifest.json`}>${t("Manifest")}</a>
        ${job.sizeBytes != null && [...sources.values()].some((source) => !source.username) && html`<a class="button" href=${`${base}${ROOT}/jobs/${id}/metalink`} download=${`${job.name}.meta4`}>${t("Metalink")}</a>`}</p>
    </${Section}>
    ${adding && html`<${MoreSources} job=${job} close=${() => setAdding(false)} />`}
  </article>`;
}
