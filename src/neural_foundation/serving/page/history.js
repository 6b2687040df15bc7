// Probabilities over time, on the same time axis as the traces: a line a class, chance, and a ribbon of decisions.

import { dashes, hatch, sharp } from "./canvas.js";
import { clock } from "./format.js";

const RIBBON = 10; // pixels high
const KEPT = 20_000; // decisions

export class History {
  /**
   * @param {HTMLCanvasElement} canvas
   * @param {HTMLCanvasElement} axis
   * @param {import("./view.js").View} view
   * @param {import("./canvas.js").Colours} colours
   */
  constructor(canvas, axis, view, colours) {
    Object.assign(this, { canvas, axis, view, colours });
    this.ctx = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d", { alpha: false }));
    this.axisCtx = /** @type {CanvasRenderingContext2D} */ (axis.getContext("2d"));
    /** @type {import("./watch.js").Decision[]} */
    this.decisions = [];
    this.hopS = 0.1;
    this.nClasses = 0;
    this.last = NaN;
    this.redraw = () => {
      this.last = NaN;
    };
    sharp(canvas, this.redraw);
    sharp(axis, this.redraw);
  }

  /** @param {number} hopS @param {number} nClasses */
  start(hopS, nClasses) {
    Object.assign(this, { hopS, nClasses, decisions: [] });
    this.redraw();
  }

  /** @param {import("./watch.js").Decision[]} decisions */
  add(decisions) {
    if (!decisions.length) return;
    if (this.decisions.length && decisions[0].time_s < this.decisions[this.decisions.length - 1].time_s) {
      this.decisions = [];
    }
    this.decisions.push(...decisions);
    if (this.decisions.length > 2 * KEPT) this.decisions = this.decisions.slice(-KEPT);
    this.redraw();
  }

  draw() {
    const { canvas, view, ctx, colours } = this;
    const head = Number.isNaN(view.headS) ? NaN : view.headX(canvas.width);
    if (head === this.last) return;
    this.last = head;
    ctx.fillStyle = colours.plot;
    ctx.fillRect(0, 0, canvas.width, canvas.height);
    this.chance();
    if (Number.isNaN(head)) return;
    const from = Math.max(0, head - canvas.width + (view.scroll ? 0 : this.cursor));
    for (const part of view.parts(from, head, canvas.width)) this.part(part);
    if (!view.scroll) {
      ctx.fillStyle = colours.accent;
      ctx.fillRect(head % canvas.width, 0, Math.round(devicePixelRatio), canvas.height);
    }
    this.times(from, head);
  }

  get cursor() {
    return Math.round(14 * devicePixelRatio);
  }

  /** @param {number} p @returns {number} where a probability is, in pixels from the top */
  y(p) {
    const edge = 4 * devicePixelRatio;
    return edge + (1 - p) * (this.canvas.height - (RIBBON + 4) * devicePixelRatio - 2 * edge);
  }

  chance() {
    const { ctx, canvas, colours, nClasses } = this;
    if (!nClasses) return;
    ctx.fillStyle = colours.grid;
    for (const p of [0, 0.5, 1]) ctx.fillRect(0, Math.round(this.y(p)), canvas.width, 1);
    ctx.strokeStyle = colours.muted;
    ctx.lineWidth = devicePixelRatio;
    ctx.setLineDash([2 * devicePixelRatio, 4 * devicePixelRatio]);
    ctx.beginPath();
    ctx.moveTo(0, this.y(1 / nClasses));
    ctx.lineTo(canvas.width, this.y(1 / nClasses));
    ctx.stroke();
    ctx.setLineDash([]);
  }

  /** @param {{from: number, to: number, at: number}} part */
  part({ from, to, at }) {
    const { ctx, canvas, view, colours } = this;
    const pace = view.pace(canvas.width);
    ctx.save();
    ctx.beginPath();
    ctx.rect(at, 0, to - from, canvas.height);
    ctx.clip();
    const shown = this.between(from / pace, to / pace);
    const place = (/** @type {number} */ s) => at + s * pace - from;
    for (const decision of shown) this.cell(decision, place);
    ctx.lineWidth = 1.75 * devicePixelRatio;
    ctx.lineJoin = "round";
    for (let k = 0; k < this.nClasses; k++) {
      ctx.strokeStyle = colours.ofClass(k);
      ctx.setLineDash(dashes(k).map((d) => d * devicePixelRatio));
      this.line(shown, k, place);
    }
    ctx.restore();
  }

  /** @param {import("./watch.js").Decision[]} shown @param {number} k @param {(s: number) => number} place */
  line(shown, k, place) {
    const { ctx } = this;
    let before = -Infinity;
    ctx.beginPath();
    for (const { time_s, probability } of shown) {
      const p = probability[k];
      if (!Number.isFinite(p)) before = -Infinity;
      else if (time_s - before < 2.5 * this.hopS) ctx.lineTo(place(time_s), this.y(p));
      else ctx.moveTo(place(time_s), this.y(p));
      if (Number.isFinite(p)) before = time_s;
    }
    ctx.stroke();
  }

  /**
   * One decision on the ribbon: its class's colour; low and grey where there was none; hatched where it is not valid.
   * @param {import("./watch.js").Decision} decision @param {(s: number) => number} place
   */
  cell({ time_s, probability, valid, abstained }, place) {
    const { ctx, canvas, colours } = this;
    const height = RIBBON * devicePixelRatio;
    const x = Math.round(place(time_s - this.hopS));
    const width = Math.max(1, Math.round(place(time_s)) - x);
    const top = canvas.height - height;
    const thin = abstained ? 0.3 : 1;
    ctx.fillStyle = abstained ? colours.muted : colours.ofClass(largest(probability));
    ctx.globalAlpha = valid ? 1 : 0.35;
    ctx.fillRect(x, top + height * (1 - thin), width, height * thin);
    ctx.globalAlpha = 1;
    if (valid) return;
    ctx.fillStyle = hatch(ctx, colours.marks.invalid, "invalid");
    ctx.fillRect(x, 0, width, canvas.height);
  }

  /** @param {number} fromS @param {number} toS the decisions that touch a stretch, and one on each side */
  between(fromS, toS) {
    const { decisions } = this;
    let first = decisions.length;
    while (first > 0 && decisions[first - 1].time_s > fromS) first--;
    let last = first;
    while (last < decisions.length && decisions[last].time_s < toS) last++;
    return decisions.slice(Math.max(0, first - 1), last + 1);
  }

  /** Write the axis. @param {number} from @param {number} head */
  times(from, head) {
    const { axis, axisCtx: ctx, view, colours } = this;
    const pace = view.pace(axis.width);
    const label = 52 * devicePixelRatio;
    const step = [1, 2, 5, 10].find((s) => s * pace > label) ?? 10;
    ctx.clearRect(0, 0, axis.width, axis.height);
    ctx.fillStyle = colours.muted;
    ctx.font = `${11 * devicePixelRatio}px ${colours.font}`;
    ctx.textBaseline = "middle";
    ctx.textAlign = "center";
    for (const { from: a, to: b, at } of view.parts(from, head, axis.width)) {
      for (let s = Math.ceil(a / pace / step) * step; s * pace < b; s += step) {
        const x = at + s * pace - a;
        const half = ctx.measureText(clock(s)).width / 2;
        ctx.fillText(clock(s), Math.max(half, Math.min(axis.width - half, x)), axis.height / 2);
      }
    }
  }
}

/** @param {number[]} values @returns {number} where the largest is */
export function largest(values) {
  let best = 0;
  for (let i = 1; i < values.length; i++) if (values[i] > values[best]) best = i;
  return best;
}
