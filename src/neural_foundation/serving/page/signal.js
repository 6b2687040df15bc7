// The signal panel: what came, in a ring; the traces of it; probabilities and axis below; scale bar and legend.

import { Channels } from "./channels.js";
import { Controls } from "./controls.js";
import { byId, el, say } from "./dom.js";
import { niceBelow, volts } from "./format.js";
import { History } from "./history.js";
import { Ring } from "./ring.js";
import { MEANING, Stretches } from "./stretches.js";
import { Traces } from "./traces.js";
import { View } from "./view.js";

const KEPT_S = 24;
const MOST = 1 << 25; // numbers in the ring, 128 MB
const STEPS = [1, 2, 5];
const BAR = { high: 30, wide: 90 }; // pixels at most
const TIGHT = 13; // pixels of a row under which labels stand in two columns

export class SignalPanel {
  /** @param {import("./canvas.js").Colours} colours */
  constructor(colours) {
    this.view = new View();
    this.stretches = new Stretches();
    this.traces = new Traces(byId("traces"), this.view, colours, this.stretches);
    this.history = new History(byId("history"), byId("axis"), this.view, colours);
    this.channels = new Channels(() => this.changed());
    this.controls = new Controls({
      changed: () => this.changed(),
      paused: (on) => (this.view.paused = on),
      turn: (by) => this.channels.turn(by),
    });
    /** @type {Ring | null} */
    this.ring = null;
    this.dropped = 0;
    this.gain = 50e-6;
    this.gainAt = 0;
    new ResizeObserver(() => this.changed()).observe(byId("traces"));
  }

  /** @param {import("./watch.js").Start} start @param {boolean} again whether it is the stream that was shown last */
  start(start, again) {
    this.facts = start;
    this.history.hopS = start.hop_s;
    this.channels.start(start.ch_names);
    if (!again) {
      this.ring = null;
      this.stretches.all = [];
      this.history.start(start.hop_s, start.classes.length);
      this.view.headS = NaN;
      this.gainAt = 0;
    }
    this.dropped = 0;
    this.changed();
  }

  /** @param {import("./watch.js").Traces} frame */
  take({ start, n, dropped, values }) {
    const facts = /** @type {import("./watch.js").Start} */ (this.facts);
    const nChans = facts.ch_names.length;
    if (!n || values.length !== n * nChans) return;
    this.ring ??= new Ring(nChans, facts.sfreq, Math.min(Math.ceil(KEPT_S * facts.sfreq), Math.floor(MOST / nChans)));
    this.traces.ring = this.ring;
    const gap = this.ring.push(start, n, values);
    if (gap) this.mark(gap[0] / facts.sfreq, gap[1] / facts.sfreq, dropped > this.dropped ? "skipped" : "missing");
    this.dropped = dropped;
  }

  /** @param {import("./watch.js").State} state */
  state(state) {
    const { hop_s: hop, lookahead_s: behind } = /** @type {import("./watch.js").Start} */ (this.facts);
    this.history.add(state.decisions);
    for (const { time_s: t, valid } of state.decisions) if (!valid) this.mark(t - hop - behind, t - behind, "invalid");
    this.stretches.forget(state.signal_s - KEPT_S);
    this.legend();
    if (this.channels.judge(state.lights.quality?.bad ?? {})) this.changed();
  }

  /** @param {number} from @param {number} to @param {import("./stretches.js").Mark} mark */
  mark(from, to, mark) {
    this.stretches.add(from, to, mark);
    this.traces.redraw();
  }

  /** Draw one frame. @param {number} nowMs */
  draw(nowMs) {
    const { ring, view } = this;
    if (ring?.begun) view.advance(nowMs, ring.end / ring.sfreq, ring.first / ring.sfreq);
    if (ring && nowMs > this.gainAt) {
      this.gainAt = nowMs + (ring.end - ring.oldest < ring.sfreq ? 250 : 1000);
      this.automatic(ring);
    }
    this.traces.draw();
    this.history.draw();
  }

  /** Take over what is set, and draw all anew. */
  changed() {
    const { settings } = this.controls;
    this.view.spanS = Number(settings.span);
    this.view.scroll = settings.motion === "scroll";
    this.channels.fit(settings.rows, byId("traces").clientHeight);
    this.traces.rows = this.channels.rows();
    byId("labels").classList.toggle("tight", byId("traces").clientHeight < TIGHT * this.traces.rows.length);
    this.traces.gain = settings.gain === "auto" ? this.gain : Number(settings.gain);
    this.traces.redraw();
    this.history.redraw();
    this.scale();
    this.describe();
  }

  /** Fit the scale to the signal: six times its usual spread a row, changed only when far off. @param {Ring} ring */
  automatic(ring) {
    if (this.view.paused) return;
    const good = this.traces.rows.filter((r) => !r.bad);
    const spreads = good.map((r) => ring.spread(r.channel, 2 * ring.sfreq)).filter((s) => s > 0).sort((a, b) => a - b);
    if (!spreads.length) return;
    const wanted = 6 * spreads[Math.floor(spreads.length / 2)] * (good.length > 24 ? 0.7 : 1);
    const off = wanted / this.gain;
    if (off > 1 / 3 && off < 1.4) return;
    this.gain = above(wanted);
    this.controls.automatic(this.gain);
    if (this.controls.settings.gain === "auto") this.changed();
  }

  /** Size the scale bar: a nice number of volts high, a nice number of seconds wide. */
  scale() {
    const { clientHeight: height, clientWidth: width } = byId("traces");
    const rows = this.traces.rows.length;
    byId("scale").hidden = !rows;
    if (!rows) return;
    const perVolt = height / rows / this.traces.gain;
    const high = niceBelow(BAR.high / perVolt);
    const wide = niceBelow(BAR.wide / this.view.pace(width));
    byId("scale-bar").style.height = `${high * perVolt}px`;
    byId("scale-bar").style.width = `${wide * this.view.pace(width)}px`;
    say(byId("scale-text"), `${volts(high)}, ${wide < 1 ? `${Math.round(wide * 1e3)} ms` : `${wide} s`}`);
  }

  describe() {
    const names = this.traces.rows.map((r) => r.name + (r.bad ? " (bad)" : ""));
    const text = `Traces of ${names.join(", ")}; ${this.view.spanS} seconds; ${volts(this.traces.gain)} a row`;
    byId("traces").setAttribute("aria-label", text);
    const classes = this.facts?.classes.join(", ") ?? "nothing yet";
    byId("history").setAttribute("aria-label", `Probabilities over time of ${classes}`);
  }

  legend() {
    const marks = this.stretches.marks();
    if (byId("marks").dataset.told === marks.join()) return;
    byId("marks").dataset.told = marks.join();
    byId("marks").replaceChildren(...marks.map((m) => el("li", {}, el("span", { class: `swatch mark ${m}` }), MEANING[m])));
  }
}

/** @param {number} value @returns {number} the smallest of 1, 2, 5 times a power of ten that is not below it */
function above(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  const found = STEPS.find((s) => s * power >= value * 0.999);
  return Number(((found ?? 10) * power).toPrecision(6));
}
