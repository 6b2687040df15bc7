// The lights of the watch: a shape, a word and a number for each, so that none depends on colour.

import { byId, el, say } from "./dom.js";
import { short } from "./format.js";

const NAMES = /** @type {Record<string, string>} */ ({
  quality: "Channels",
  rate: "Sampling rate",
  input: "Input drift",
  output: "Decision drift",
});
const WORDS = /** @type {Record<string, [string, string]>} */ ({
  learning: ["○", "Learning"],
  ok: ["●", "OK"],
  warn: ["▲", "Near the limit"],
  alarm: ["◆", "Alarm"],
});

/** @param {string} light @returns {[string, string]} its shape and its word */
export const wordsOf = (light) => WORDS[light] ?? ["○", light];

export class Lights {
  constructor() {
    /** @type {Map<string, Record<string, HTMLElement>>} */
    this.parts = new Map();
    this.alarms = "";
  }

  /** @param {Record<string, import("./watch.js").Light>} lights */
  show(lights) {
    const kinds = [...Object.keys(NAMES).filter((k) => k in lights), ...Object.keys(lights).filter((k) => !(k in NAMES))];
    for (const kind of kinds) this.one(kind, lights[kind]);
    this.speak(kinds.filter((k) => lights[k].light === "alarm"), lights);
  }

  /** @param {string} kind @param {import("./watch.js").Light} light */
  one(kind, light) {
    const parts = this.parts.get(kind) ?? this.made(kind);
    const [shape, word] = wordsOf(light.light);
    parts.row.dataset.light = light.light;
    say(parts.shape, shape);
    say(parts.word, word);
    say(parts.score, Number.isFinite(light.score) ? light.score.toFixed(2) : "–");
    say(parts.detail, detail(light));
  }

  /** @param {string} kind */
  made(kind) {
    const [shape, word, score, detail] = ["shape", "word", "number score", "detail"].map((c) => el("span", { class: c }));
    shape.setAttribute("aria-hidden", "true");
    const row = el("li", { "data-kind": kind }, shape, el("span", { class: "name" }, NAMES[kind] ?? kind), word, score, detail);
    byId("lights").append(row);
    const parts = { row, shape, word, score, detail };
    this.parts.set(kind, parts);
    return parts;
  }

  /** Tell a screen reader of alarms, once each. @param {string[]} kinds @param {Record<string, import("./watch.js").Light>} lights */
  speak(kinds, lights) {
    const alarms = kinds.map((k) => `${NAMES[k] ?? k}: alarm. ${detail(lights[k])}`).join(" ");
    if (alarms !== this.alarms) say(byId("said"), (this.alarms = alarms));
  }
}

/** @param {import("./watch.js").Light} light */
function detail(light) {
  const bad = Object.entries(light.bad ?? {}).map(([why, names]) => `${why.replace("_", " ")}: ${few(names)}`);
  if (bad.length) return bad.join("; ");
  if (light.what) return light.what;
  return light.sfreq ? `${short(light.sfreq)} samples a second` : "";
}

/** @param {string[]} names */
const few = (names) => (names.length > 6 ? `${names.slice(0, 5).join(", ")} and ${names.length - 5} more` : names.join(", "));
