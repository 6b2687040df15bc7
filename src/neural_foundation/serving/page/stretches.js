// Stretches of time in which the signal is not there or not to be trusted.

/** @typedef {"missing" | "skipped" | "invalid"} Mark */

/** What each mark means, in words. */
export const MEANING = {
  missing: "Missing: never came",
  skipped: "Not shown: this page was too slow",
  invalid: "Not valid: the decision on it is marked so",
};

export class Stretches {
  constructor() {
    /** @type {{from: number, to: number, mark: Mark}[]} */
    this.all = [];
  }

  /** @param {number} from @param {number} to @param {Mark} mark */
  add(from, to, mark) {
    const last = this.all.findLast((s) => s.mark === mark);
    if (last && from <= last.to + 1e-6 && from >= last.from) last.to = Math.max(last.to, to);
    else this.all.push({ from, to, mark });
  }

  /** Forget what ended before a moment. @param {number} beforeS */
  forget(beforeS) {
    if (this.all.length) this.all = this.all.filter((s) => s.to > beforeS);
  }

  /** @param {number} from @param {number} to */
  between(from, to) {
    return this.all.filter((s) => s.to > from && s.from < to);
  }

  /** @returns {Mark[]} */
  marks() {
    return [...new Set(this.all.map((s) => s.mark))].sort();
  }
}
