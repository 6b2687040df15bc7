// Which channels are shown: those that somebody chose, in pages of as many rows as there is room for.

import { byId, el, say } from "./dom.js";

const SIZES = [4, 8, 16, 32, 64, 128];
const LEAST = 16; // pixels of a row

export class Channels {
  /** @param {() => void} changed */
  constructor(changed) {
    this.changed = changed;
    /** @type {string[]} */
    this.names = [];
    /** @type {Set<number>} */
    this.hidden = new Set();
    /** @type {Map<string, string>} */
    this.bad = new Map();
    this.page = 0;
    this.size = 16;
    byId("page-back").addEventListener("click", () => this.turn(-1));
    byId("page-on").addEventListener("click", () => this.turn(1));
    byId("open-channels").addEventListener("click", () => byId("channels").showModal());
    byId("channels-all").addEventListener("click", () => this.choose(() => true));
    byId("channels-none").addEventListener("click", () => this.choose(() => false));
  }

  /** @param {string[]} names */
  start(names) {
    if (names.join("\n") === this.names.join("\n")) return;
    Object.assign(this, { names, hidden: new Set(), bad: new Map(), page: 0 });
    byId("channel-list").replaceChildren(...names.map((name, c) => this.box(name, c)));
  }

  /** @param {string} name @param {number} channel */
  box(name, channel) {
    const box = /** @type {HTMLInputElement} */ (el("input", { type: "checkbox" }));
    box.checked = true;
    box.addEventListener("change", () => {
      if (box.checked) this.hidden.delete(channel);
      else this.hidden.add(channel);
      this.changed();
    });
    return el("label", {}, box, name);
  }

  /** @param {(channel: number) => boolean} shown */
  choose(shown) {
    this.hidden = new Set([...this.names.keys()].filter((c) => !shown(c)));
    for (const [c, box] of [...byId("channel-list").querySelectorAll("input")].entries()) box.checked = shown(c);
    this.changed();
  }

  /**
   * @param {string} rows how many a page, or "auto"
   * @param {number} height of the traces in pixels of the style sheet
   */
  fit(rows, height) {
    const room = SIZES.findLast((n) => n * LEAST <= height) ?? SIZES[0];
    const size = rows === "all" ? Infinity : rows === "auto" ? room : Number(rows);
    if (size === this.size) return;
    const first = this.page * this.size || 0;
    this.size = size;
    this.page = Math.floor(first / size) || 0;
  }

  get chosen() {
    return [...this.names.keys()].filter((c) => !this.hidden.has(c));
  }

  get pages() {
    return Math.max(1, Math.ceil(this.chosen.length / this.size));
  }

  /** @param {number} by */
  turn(by) {
    this.page = Math.max(0, Math.min(this.pages - 1, this.page + by));
    this.changed();
  }

  /** @param {Record<string, string[]>} bad channels by reason @returns {boolean} whether anything differs */
  judge(bad) {
    const found = new Map();
    for (const [why, names] of Object.entries(bad)) {
      for (const name of names) found.set(name, [...(found.get(name) ?? []), why.replace("_", " ")]);
    }
    const told = new Map([...found].map(([name, whys]) => [name, whys.join(", ")]));
    const same = JSON.stringify([...told]) === JSON.stringify([...this.bad]);
    this.bad = told;
    return !same;
  }

  /** @returns {import("./traces.js").Row[]} the rows of this page; their labels are written too */
  rows() {
    this.page = Math.min(this.page, this.pages - 1);
    const { chosen, page, size, pages } = this;
    const first = pages === 1 ? 0 : page * size;
    const shown = pages === 1 ? chosen : chosen.slice(first, first + size);
    byId("pager").hidden = pages === 1;
    say(byId("page-text"), `${first + 1}–${first + shown.length} of ${chosen.length}`);
    byId("page-back").disabled = page === 0;
    byId("page-on").disabled = page === pages - 1;
    const all = this.bad.get("all channels");
    const rows = shown.map((channel) => ({ channel, name: this.names[channel], bad: this.bad.has(this.names[channel]) || !!all }));
    byId("labels").replaceChildren(...rows.map((row) => label(row, this.bad.get(row.name) ?? all ?? "")));
    return rows;
  }
}

/** @param {import("./traces.js").Row} row @param {string} why */
function label({ name, bad }, why) {
  const mark = bad ? [el("span", { class: "why", title: `${name}: ${why}` }, `▲ ${why}`)] : [];
  return el("li", bad ? { class: "bad" } : {}, el("span", { class: "name", title: name }, name), ...mark);
}
