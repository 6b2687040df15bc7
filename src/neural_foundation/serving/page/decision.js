// The decision now, in words: what, how sure, which classes cannot be ruled out.

import { byId, el, say } from "./dom.js";
import { clock, percent, short } from "./format.js";
import { largest } from "./history.js";

export class DecisionPanel {
  constructor() {
    /** @type {string[]} */
    this.classes = [];
    /** @type {{bar: HTMLElement, number: HTMLElement, row: HTMLElement}[]} */
    this.bars = [];
  }

  /** @param {string[]} classes */
  start(classes) {
    this.classes = classes;
    this.bars = [];
    const rows = classes.map((name, k) => this.row(name, k));
    byId("bars").replaceChildren(...rows);
    byId("legend").replaceChildren(
      ...classes.map((name, k) => el("li", {}, el("span", { class: `swatch k${k % 8}` }), el("span", { title: name }, name))),
      el("li", { class: "muted" }, el("span", { class: "swatch chance" }), "chance"),
    );
    const longest = Math.max(...classes.map((c) => c.length));
    byId("decision-panel").style.setProperty("--word", `${Math.max(18, Math.min(38, 300 / longest))}px`);
    this.none("No decision yet");
  }

  /** @param {string} name @param {number} k */
  row(name, k) {
    const bar = el("span", { class: `fill k${k % 8}` });
    const number = el("span", { class: "number" }, "–");
    const chance = el("span", { class: "chance", title: "chance" });
    chance.style.left = `${100 / this.classes.length}%`;
    const row = el("li", {}, el("span", { class: "name", title: name }, name), el("span", { class: "meter" }, bar, chance), number);
    this.bars.push({ bar, number, row });
    return row;
  }

  /** @param {string} word */
  none(word) {
    say(byId("decision"), word);
    say(byId("confidence"), "");
    say(byId("decision-note"), "");
    say(byId("decision-time"), "");
    byId("decision-panel").dataset.doubt = "none";
    byId("set").replaceChildren("–");
  }

  /** @param {import("./watch.js").Decision} now */
  show(now) {
    const best = largest(now.probability);
    const doubt = !now.valid ? "invalid" : now.abstained ? "abstained" : "";
    byId("decision-panel").dataset.doubt = doubt;
    say(byId("decision"), now.abstained ? "No decision" : this.classes[best]);
    say(byId("confidence"), now.abstained ? "" : percent(now.probability[best]));
    say(byId("decision-note"), this.note(now));
    say(byId("decision-time"), `at ${clock(now.time_s)}`);
    for (const [k, { bar, number, row }] of this.bars.entries()) {
      const p = now.probability[k];
      bar.style.transform = `scaleX(${Number.isFinite(p) ? p : 0})`;
      say(number, percent(p));
      row.classList.toggle("best", k === best && !now.abstained);
    }
    this.set(now);
  }

  /** @param {import("./watch.js").Decision} now */
  note({ valid, abstained, entropy, disagreement }) {
    if (!valid) return "The signal under it is not valid.";
    if (abstained) return "Abstained: not sure enough.";
    return entropy === undefined ? "" : `Entropy ${short(entropy)} nats, ${short(disagreement ?? 0)} of it disagreement.`;
  }

  /** @param {import("./watch.js").Decision} now a set of 0 is one of a model that gives none */
  set(now) {
    const members = this.classes.filter((_, k) => Math.floor(now.set / 2 ** k) % 2);
    const told = members.join("\n");
    if (byId("set").dataset.told === told && byId("set").children.length) return;
    byId("set").dataset.told = told;
    const chips = members.map((m) => el("span", { class: "chip" }, m));
    byId("set").replaceChildren(...(chips.length ? chips : [el("span", {}, "none given")]));
  }
}
