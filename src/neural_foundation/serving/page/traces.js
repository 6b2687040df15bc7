// The traces. Only what is new is drawn: a strip a few pixels wide, once a frame.
//
// In a sweep the strip moves over the canvas and a gap runs ahead of it; in a scroll the picture is moved to the left
// and the strip added at its right end. What changes the whole picture (size, scale, channels, colours) draws it anew.

import { hatch, sharp } from "./canvas.js";

const CURSOR = 14; // pixels of the gap ahead of a sweep

/** @typedef {{channel: number, name: string, bad: boolean}} Row */

export class Traces {
  /**
   * @param {HTMLCanvasElement} canvas
   * @param {import("./view.js").View} view
   * @param {import("./canvas.js").Colours} colours
   * @param {import("./stretches.js").Stretches} stretches
   */
  constructor(canvas, view, colours, stretches) {
    Object.assign(this, { canvas, view, colours, stretches });
    this.ctx = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d", { alpha: false }));
    /** @type {import("./ring.js").Ring | null} */
    this.ring = null;
    /** @type {Row[]} */
    this.rows = [];
    this.gain = 50e-6; // volts that are one row high
    this.last = NaN; // the head when it was last drawn
    this.redraw = () => {
      this.last = NaN;
    };
    sharp(canvas, this.redraw);
  }

  /** Draw what came since the last call. */
  draw() {
    const { canvas, view, ring } = this;
    const width = canvas.width;
    if (!ring || Number.isNaN(view.headS)) return this.clear();
    const head = view.headX(width);
    const moved = head - this.last;
    if (moved === 0) return;
    if (!(moved > 0 && moved < width)) {
      this.clear();
      this.strip(head - width + (view.scroll ? 0 : this.cursor), head);
    } else {
      if (view.scroll) this.ctx.drawImage(canvas, -moved, 0);
      this.strip(this.last - this.again, head);
    }
    if (!view.scroll) this.gap(head);
    this.last = head;
  }

  /** Pixels drawn again each time: up to the sample before, whose line to the next one could not yet be drawn. */
  get again() {
    const ring = /** @type {import("./ring.js").Ring} */ (this.ring);
    return Math.max(3, Math.ceil(this.view.pace(this.canvas.width) / ring.sfreq) + 2);
  }

  get cursor() {
    return Math.round(CURSOR * devicePixelRatio);
  }

  clear() {
    this.ctx.fillStyle = this.colours.plot;
    this.ctx.fillRect(0, 0, this.canvas.width, this.canvas.height);
  }

  /** @param {number} from @param {number} to pixels since the stream began */
  strip(from, to) {
    const { ctx, canvas, view } = this;
    for (const part of view.parts(from, to, canvas.width)) {
      ctx.save();
      ctx.beginPath();
      ctx.rect(part.at, 0, part.to - part.from, canvas.height);
      ctx.clip();
      this.ground(part);
      for (const [index, row] of this.rows.entries()) this.trace(part, row, index);
      ctx.restore();
    }
  }

  /** @param {{from: number, to: number, at: number}} part */
  ground({ from, to, at }) {
    const { ctx, canvas, view, colours } = this;
    const pace = view.pace(canvas.width);
    ctx.fillStyle = colours.plot;
    ctx.fillRect(at, 0, to - from, canvas.height);
    ctx.fillStyle = colours.grid;
    for (let s = Math.max(0, Math.ceil((from - 1) / pace)); s * pace < to; s++) {
      ctx.fillRect(at + Math.round(s * pace) - from, 0, 1, canvas.height);
    }
    for (const { from: a, to: b, mark } of this.stretches.between(from / pace, to / pace)) {
      const pattern = hatch(ctx, colours.marks[mark], mark);
      pattern.setTransform(new DOMMatrix([1, 0, 0, 1, (at - from) % 8, 0]));
      ctx.fillStyle = pattern;
      ctx.fillRect(at + a * pace - from, 0, (b - a) * pace, canvas.height);
    }
  }

  /** @param {{from: number, to: number, at: number}} part @param {Row} row @param {number} index */
  trace(part, row, index) {
    const { ctx, canvas, colours } = this;
    const height = canvas.height / this.rows.length;
    const middle = (index + 0.5) * height;
    ctx.beginPath();
    const ring = /** @type {import("./ring.js").Ring} */ (this.ring);
    const dense = ring.sfreq > 2 * this.view.pace(canvas.width);
    (dense ? this.columns : this.samples).call(this, part, row.channel, middle, -height / this.gain);
    ctx.strokeStyle = row.bad ? colours.alarm : index % 2 ? colours.traceB : colours.traceA;
    ctx.lineWidth = devicePixelRatio * (height > 24 * devicePixelRatio ? 1.25 : 1);
    ctx.lineJoin = "bevel";
    ctx.stroke();
  }

  /**
   * Many samples a pixel: each column's smallest and largest, in the order in which they came.
   * @param {{from: number, to: number, at: number}} part @param {number} channel @param {number} middle
   * @param {number} size pixels of a volt
   */
  columns({ from, to, at }, channel, middle, size) {
    const { ctx } = this;
    const ring = /** @type {import("./ring.js").Ring} */ (this.ring);
    const { data, capacity, oldest, end } = ring;
    const each = ring.sfreq / this.view.pace(this.canvas.width);
    const base = channel * capacity;
    let open = false;
    for (let x = from - 2; x <= to; x++) {
      let low = Infinity;
      let high = -Infinity;
      let lowAt = 0;
      let highAt = 0;
      const stop = Math.min(end, Math.ceil((x + 1) * each));
      for (let i = Math.max(oldest, Math.ceil(x * each)); i < stop; i++) {
        const value = data[base + (i % capacity)];
        if (value < low) (low = value), (lowAt = i);
        if (value > high) (high = value), (highAt = i);
      }
      if (low === Infinity) {
        open = false;
        continue;
      }
      const [a, b] = lowAt < highAt ? [low, high] : [high, low];
      const place = at + x - from + 0.5;
      if (open) ctx.lineTo(place, middle + a * size);
      else ctx.moveTo(place, middle + a * size);
      ctx.lineTo(place, middle + b * size);
      open = true;
    }
  }

  /**
   * Few samples a pixel: a line from each to the next.
   * @param {{from: number, to: number, at: number}} part @param {number} channel @param {number} middle
   * @param {number} size pixels of a volt
   */
  samples({ from, to, at }, channel, middle, size) {
    const { ctx } = this;
    const ring = /** @type {import("./ring.js").Ring} */ (this.ring);
    const { data, capacity, oldest, end } = ring;
    const step = this.view.pace(this.canvas.width) / ring.sfreq;
    let open = false;
    const stop = Math.min(end, Math.ceil(to / step) + 2);
    for (let i = Math.max(oldest, Math.floor(from / step) - 2); i < stop; i++) {
      const value = data[channel * capacity + (i % capacity)];
      const place = at + i * step - from;
      if (!Number.isFinite(value)) open = false;
      else if (open) ctx.lineTo(place, middle + value * size);
      else ctx.moveTo(place, middle + value * size), (open = true);
    }
  }

  /** Show where a sweep is. @param {number} head */
  gap(head) {
    const { ctx, canvas, view, colours, cursor } = this;
    for (const { from, to, at } of view.parts(head, head + cursor, canvas.width)) {
      ctx.fillStyle = colours.plot;
      ctx.fillRect(at, 0, to - from, canvas.height);
      ctx.fillStyle = colours.accent;
      if (from === head) ctx.fillRect(at, 0, Math.round(devicePixelRatio), canvas.height);
    }
  }
}
