// What somebody sets: time, scale, rows, motion, pause; by control or by key.

import { byId, el, say } from "./dom.js";
import { volts } from "./format.js";
import { keep, kept } from "./settings.js";

const SPANS = [2, 5, 10, 20];
const GAINS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000].map((uv) => uv * 1e-6);
const ROWS = ["auto", "4", "8", "16", "32", "64", "all"];

export class Controls {
  /** @param {{changed: () => void, paused: (on: boolean) => void, turn: (by: number) => void}} told */
  constructor(told) {
    this.told = told;
    this.gain = GAINS[0]; // what the automatic scale is
    this.settings = kept();
    this.fill("span", SPANS.map((s) => [String(s), `${s} s`]));
    this.fill("gain", [["auto", "Auto scale"], ...GAINS.map((v) => /** @type {[string, string]} */ ([String(v), `${volts(v)} / row`]))]);
    this.fill("rows", ROWS.map((r) => [r, r === "auto" ? "Auto rows" : r === "all" ? "All rows" : `${r} rows`]));
    this.fill("motion", [["scroll", "Scroll"], ["sweep", "Sweep"]]);
    byId("pause").addEventListener("click", () => this.pause());
    byId("traces").addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => this.pressed(event));
  }

  /** @param {"span" | "gain" | "rows" | "motion"} name @param {[string, string][]} options */
  fill(name, options) {
    const select = byId(name);
    select.replaceChildren(...options.map(([value, text]) => el("option", { value }, text)));
    if (!options.some(([value]) => value === this.settings[name])) this.settings[name] = options[0][0];
    select.value = this.settings[name];
    select.addEventListener("change", () => {
      this.settings[name] = select.value;
      keep(this.settings);
      this.told.changed();
    });
  }

  /** Show what the automatic scale is now. @param {number} gain */
  automatic(gain) {
    this.gain = gain;
    say(byId("gain").options[0], `Auto: ${volts(gain)} / row`);
  }

  pause() {
    const on = byId("pause").getAttribute("aria-pressed") !== "true";
    byId("pause").setAttribute("aria-pressed", String(on));
    say(byId("pause"), on ? "Go on" : "Pause");
    this.told.paused(on);
  }

  /** @param {"span" | "gain"} name @param {number} by */
  step(name, by) {
    const select = byId(name);
    const automatic = name === "gain" && select.value === "auto";
    const now = automatic ? 1 + GAINS.findLastIndex((v) => v <= this.gain * 1.001) : select.selectedIndex;
    select.selectedIndex = Math.max(name === "gain" ? 1 : 0, Math.min(select.options.length - 1, now + by));
    select.dispatchEvent(new Event("change"));
  }

  /** @param {KeyboardEvent} event */
  pressed(event) {
    const does = /** @type {Record<string, () => void>} */ ({
      " ": () => this.pause(),
      ArrowUp: () => this.step("gain", -1),
      ArrowDown: () => this.step("gain", 1),
      ArrowLeft: () => this.step("span", -1),
      ArrowRight: () => this.step("span", 1),
      PageUp: () => this.told.turn(-1),
      PageDown: () => this.told.turn(1),
    })[event.key];
    if (!does || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    does();
  }
}
