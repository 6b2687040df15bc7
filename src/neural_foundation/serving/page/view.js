// Which stretch of time is shown, and where on the screen: shared by traces, probabilities and the axis.

const LAG_S = 0.15; // blocks come in bursts; the display runs so far behind them, and so stays smooth
const JUMP_S = 1.5;

export class View {
  constructor() {
    this.spanS = 10;
    this.scroll = false;
    this.paused = false;
    this.headS = NaN; // the newest moment on the screen
    this.shownAt = 0;
  }

  /**
   * Move the head on with the clock, gently towards what has come.
   * @param {number} nowMs @param {number} newestS @param {number} oldestS
   */
  advance(nowMs, newestS, oldestS) {
    const passed = Math.min(0.25, Math.max(0, (nowMs - this.shownAt) / 1e3));
    this.shownAt = nowMs;
    if (this.paused) return;
    const behind = newestS - LAG_S - this.headS;
    if (!(Math.abs(behind) < JUMP_S)) this.headS = newestS;
    else this.headS += passed * (1 + Math.max(-1, Math.min(1, 3 * behind)));
    this.headS = Math.max(oldestS, Math.min(this.headS, newestS));
  }

  /** @param {number} width @returns {number} pixels of one second */
  pace(width) {
    return width / this.spanS;
  }

  /** @param {number} width @returns {number} the head in pixels since the stream began */
  headX(width) {
    return Math.floor(this.headS * this.pace(width));
  }

  /**
   * Split [from, to) in pixels since the stream began into what lies side by side on the screen.
   * @param {number} from @param {number} to @param {number} width
   * @returns {{from: number, to: number, at: number}[]} `at`: where `from` is on the screen
   */
  parts(from, to, width) {
    if (this.scroll) return [{ from, to, at: from - (this.headX(width) - width) }];
    const parts = [];
    while (from < to) {
      const next = Math.min(to, (Math.floor(from / width) + 1) * width);
      parts.push({ from, to: next, at: from - Math.floor(from / width) * width });
      from = next;
    }
    return parts;
  }
}
