// How long blocks take, from their arrival to the answer, and how fast the stream is.

import { sharp } from "./canvas.js";
import { byId, say } from "./dom.js";
import { delay, short } from "./format.js";

const TICKS = [[1e-5, "10 µs"], [1e-4, "0.1"], [1e-3, "1 ms"], [1e-2, "10"], [0.1, "100 ms"], [1, "1 s"]];
const OVER_S = 5; // speeds are means over so long

/**
 * A quantile of a histogram, by a straight line on the logarithmic axis of its bin.
 * @param {number[]} edges @param {number[]} counts one more than edges: below the first, above the last @param {number} q
 * @returns {number} NaN of none
 */
export function quantile(edges, counts, q) {
  const total = counts.reduce((a, b) => a + b, 0);
  if (!total) return NaN;
  let before = 0;
  for (const [i, n] of counts.entries()) {
    if (n && before + n >= q * total) {
      if (i === 0) return edges[0];
      if (i === edges.length) return Infinity;
      return edges[i - 1] * (edges[i] / edges[i - 1]) ** ((q * total - before) / n);
    }
    before += n;
  }
  return Infinity;
}

export class Latency {
  /** @param {HTMLCanvasElement} canvas @param {import("./canvas.js").Colours} colours */
  constructor(canvas, colours) {
    Object.assign(this, { canvas, colours });
    this.ctx = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
    /** @type {{edges_s: number[], counts: number[]} | null} */
    this.delays = null;
    /** @type {{at: number, signal_s: number, tokens: number}[]} */
    this.heard = [];
    sharp(canvas, () => this.draw());
  }

  /** @param {number} nChans @param {number} sfreq */
  start(nChans, sfreq) {
    this.heard = [];
    say(byId("samples"), `${nChans} × ${sfreq < 1000 ? `${short(sfreq)} Hz` : `${short(sfreq / 1e3)} kHz`}`);
  }

  /** @param {import("./watch.js").State} state @param {number} nowMs */
  show(state, nowMs) {
    this.delays = state.delays;
    const found = [0.5, 0.95, 0.99].map((q) => delay(quantile(state.delays.edges_s, state.delays.counts, q)));
    for (const [i, id] of ["p50", "p95", "p99"].entries()) say(byId(id), found[i]);
    this.canvas.setAttribute("aria-label", `Histogram of delays: p50 ${found[0]}, p95 ${found[1]}, p99 ${found[2]}`);
    this.speeds(state, nowMs);
    this.draw();
  }

  /** @param {import("./watch.js").State} state @param {number} nowMs */
  speeds({ signal_s, tokens }, nowMs) {
    this.heard.push({ at: nowMs / 1e3, signal_s, tokens });
    while (this.heard[0].at < nowMs / 1e3 - OVER_S) this.heard.shift();
    const first = this.heard[0];
    const passed = nowMs / 1e3 - first.at;
    if (passed < 0.9) return;
    say(byId("speed"), `${((signal_s - first.signal_s) / passed).toFixed(2)} ×`);
    say(byId("per-second"), `${short((tokens - first.tokens) / passed)} /s`);
  }

  draw() {
    const { canvas, ctx, colours, delays } = this;
    ctx.clearRect(0, 0, canvas.width, canvas.height);
    if (!delays) return;
    const dpr = devicePixelRatio;
    const foot = 16 * dpr;
    const head = 13 * dpr;
    const high = canvas.height - foot - head;
    const most = Math.max(1, ...delays.counts);
    const n = delays.counts.length;
    const wide = canvas.width / n;
    ctx.fillStyle = colours.accent;
    for (const [i, count] of delays.counts.entries()) {
      const size = count ? Math.max(2 * dpr, (count / most) * high) : 0;
      ctx.fillRect(i * wide + dpr / 2, head + high - size, wide - dpr, size);
    }
    ctx.fillStyle = colours.grid;
    ctx.fillRect(0, head + high, canvas.width, dpr);
    this.marks(delays, wide, head, high);
  }

  /** @param {{edges_s: number[], counts: number[]}} delays @param {number} wide @param {number} head @param {number} high */
  marks({ edges_s: edges, counts }, wide, head, high) {
    const { canvas, ctx, colours } = this;
    const dpr = devicePixelRatio;
    const first = Math.log10(edges[0]);
    const perBin = (Math.log10(edges[edges.length - 1]) - first) / (edges.length - 1);
    const over = canvas.width - wide / 2;
    const x = (/** @type {number} */ s) => (Number.isFinite(s) ? wide * (1 + (Math.log10(s) - first) / perBin) : over);
    ctx.font = `${11 * dpr}px ${colours.font}`;
    ctx.textAlign = "center";
    ctx.textBaseline = "bottom";
    ctx.fillStyle = colours.muted;
    for (const [s, text] of /** @type {[number, string][]} */ (TICKS)) {
      const half = ctx.measureText(text).width / 2;
      ctx.fillRect(x(s), head + high, dpr, 3 * dpr);
      ctx.fillText(text, Math.max(half, Math.min(canvas.width - half, x(s))), canvas.height);
    }
    ctx.fillStyle = colours.ink;
    let free = -Infinity;
    for (const [q, text] of /** @type {[number, string][]} */ ([[0.5, "p50"], [0.95, "p95"], [0.99, "p99"]])) {
      const at = x(quantile(edges, counts, q));
      if (Number.isNaN(at)) continue;
      ctx.fillRect(at, head, dpr, high);
      const place = Math.min(canvas.width - 12 * dpr, Math.max(at, free));
      ctx.fillText(text, place, head - dpr);
      free = place + 24 * dpr;
    }
  }
}
