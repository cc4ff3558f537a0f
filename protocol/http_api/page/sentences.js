// The daemon's sentences in another language: found by their English pattern, the holes looked up again.

const LONGEST = 2000; // characters that are looked at
const DEEPEST = 6;
const KNOWN = 2000; // sentences whose translation is kept

/** `{ parts, test, said }` of one pattern: its fixed texts, what matches it, and what is said instead. */
function pattern([english, said]) {
  const names = [];
  const body = english.split(/\{(\w+)\}/).map((part, at) => {
    if (at % 2 === 0) return part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
    names.push(part);
    return part[0] === "n" ? "([\\d.,]+)" : "(.+?)"; // a number, or any text
  });
  const parts = english.split(/\{\w+\}/).filter(Boolean);
  return { names, parts, test: new RegExp(`^${body.join("")}$`, "s"), said, weight: parts.join("").length };
}

/** A function that says a sentence in this table's language, with its decimal mark; the unknown stays. */
export function translator(table, decimal) {
  const whole = new Map(Object.entries(table).filter(([english]) => !english.includes("{")));
  const patterns = Object.entries(table).filter(([english]) => english.includes("{")).map(pattern).sort((one, other) => other.weight - one.weight);
  const known = new Map();

  function matched(text, deep) {
    for (const { names, parts, test, said } of patterns) {
      if (!parts.every((part) => text.includes(part))) continue;
      const found = test.exec(text);
      if (found) return said.replace(/\{(\w+)\}/g, (_, name) => say(found[1 + names.indexOf(name)], deep + 1));
    }
  }

  /** Sentences that were put together: each part by itself. */
  function joined(text, deep) {
    for (const mark of ["; ", ": ", ", "]) {
      const at = text.indexOf(mark);
      if (at < 0) continue;
      const parts = [text.slice(0, at), text.slice(at + mark.length)];
      const said = parts.map((part) => say(part, deep + 1));
      if (said.join() !== parts.join()) return said.join(mark);
    }
    const [, before, inside] = /^(.+) \((.+)\)$/s.exec(text) ?? [];
    return inside && `${say(before, deep + 1)} (${say(inside, deep + 1)})`;
  }

  function say(text, deep = 0) {
    if (!text || deep > DEEPEST) return text;
    return whole.get(text) ?? matched(text, deep) ?? joined(text, deep) ?? text.replace(/^(\d+)\.(\d+) (?=[KMGT]?i?B|s|%)/, `$1${decimal}$2 `);
  }

  return (text) => {
    if (!text || text.length > LONGEST) return text;
    if (!known.has(text)) {
      if (known.size > KNOWN) known.clear();
      known.set(text, say(text));
    }
    return known.get(text);
  };
}
