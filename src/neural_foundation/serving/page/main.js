// The page: looks for connections, shows one of them, and says what is going on where it cannot.

import * as api from "./api.js";
import { Colours } from "./canvas.js";
import { rendered, simulated } from "./card.js";
import { ConnectionList } from "./connections.js";
import { DecisionPanel } from "./decision.js";
import { byId, dialogs, el, say } from "./dom.js";
import { clock } from "./format.js";
import { Latency } from "./latency.js";
import { Lights } from "./lights.js";
import { ask } from "./login.js";
import { SignalPanel } from "./signal.js";
import { watch } from "./watch.js";

const LOOK_MS = 2000;
const WAIT_MS = [500, 1000, 2000, 4000, 8000];

class Page {
  constructor() {
    const colours = new Colours(() => {
      this.signal.changed();
      this.latency.draw();
    });
    this.signal = new SignalPanel(colours);
    this.latency = new Latency(byId("latency"), colours);
    this.decision = new DecisionPanel();
    this.lights = new Lights();
    this.list = new ConnectionList((name) => this.choose(name));
    this.shown = "";
    this.wanted = "";
    this.tries = 0;
    this.stop = new AbortController();
    this.frames = { n: 0, since: performance.now() };
    byId("open-model").addEventListener("click", () => this.model());
    byId("forget-key").addEventListener("click", () => {
      api.key.forget();
      location.reload();
    });
    say(byId("how"), `neural-foundation stream --url ${location.protocol === "https:" ? "wss" : "ws"}://${location.host}`);
    dialogs(["login"]);
  }

  /** Look, watch, and begin again, for as long as the page is open. */
  async run() {
    for (;;) {
      try {
        await this.look();
        const name = this.wanted;
        if (name) await this.watch(name);
        else await pause(1000);
      } catch (error) {
        await this.failed(error);
      }
    }
  }

  /** Ask what connections there are, and decide on one: the one that was shown or chosen, else the newest. */
  async look() {
    const found = await api.connections();
    byId("forget-key").hidden = !api.key.get();
    const names = found.map((c) => c.connection);
    if (!names.includes(this.wanted)) this.wanted = names[0] ?? "";
    this.list.show(found, this.wanted);
    if (this.wanted) return;
    this.tries = 0;
    this.say("waiting", this.shown ? "The stream has ended" : "No stream yet");
  }

  /** @param {string} name */
  async watch(name) {
    this.stop = new AbortController();
    const looking = setInterval(() => this.refresh(), LOOK_MS);
    const { how, why, begun } = await watch(
      name,
      { start: (s) => this.start(s), traces: (t) => this.signal.take(t), state: (s) => this.state(s) },
      this.stop.signal,
    );
    clearInterval(looking);
    if (begun) this.tries = 0;
    if (how === "refused") await this.again(`Refused: ${why}`);
    if (how === "broke" && begun) this.say("lost", "Connection lost");
    if (how === "broke") await pause(WAIT_MS[0]);
  }

  async refresh() {
    const found = await api.connections().catch(() => null);
    if (found) this.list.show(found, this.shown);
  }

  /** @param {string} name */
  choose(name) {
    this.wanted = name;
    if (name !== this.shown) this.stop.abort();
  }

  /** @param {unknown} error */
  async failed(error) {
    if (error instanceof api.Refused && error.status === 401) {
      this.say("locked", "A key is needed");
      await ask(api.key.get() ? "This key is not accepted. Give one that was made for this server." : "");
    } else if (error instanceof api.Refused && error.status === 403 && api.key.get()) {
      this.say("locked", "The key is not enough");
      await ask(error.message);
    } else if (error instanceof api.Refused) await this.again(error.message);
    else if (error instanceof TypeError || error instanceof DOMException) await this.again("Connection lost");
    else {
      console.error(error);
      await this.again("Something went wrong on this page");
    }
  }

  /** Say what went wrong and wait before the next try, longer each time. @param {string} what */
  async again(what) {
    const wait = WAIT_MS[Math.min(this.tries++, WAIT_MS.length - 1)];
    this.say("lost", `${what}; trying again`);
    await pause(wait);
  }

  /** @param {import("./watch.js").Start} start */
  start(start) {
    const again = this.shown === start.connection;
    this.shown = start.connection;
    byId("empty").hidden = true;
    say(byId("task"), start.task);
    document.title = `${start.task}: live`;
    byId("simulated").hidden = !simulated(start.card);
    if (!again) this.decision.start(start.classes);
    this.latency.start(start.ch_names.length, start.sfreq);
    this.signal.start(start, again);
    this.say("live", "Live");
  }

  /** @param {import("./watch.js").State} state */
  state(state) {
    this.signal.state(state);
    this.lights.show(state.lights);
    this.latency.show(state, performance.now());
    if (state.decisions.length) this.decision.show(state.decisions[state.decisions.length - 1]);
    say(byId("elapsed"), clock(state.signal_s));
    say(byId("left-out"), state.dropped ? `${state.dropped.toLocaleString()} samples were not shown` : "");
  }

  /** Show the cards of all models, that of the stream first. */
  async model() {
    byId("model").showModal();
    const found = await api.models().catch(() => []);
    const task = byId("task").textContent;
    found.sort((a, b) => Number(b.task === task) - Number(a.task === task));
    byId("cards").replaceChildren(
      ...found.map((m) => {
        const facts = `task ${m.task} · ${m.ch_names.length} channels at ${m.sfreq} Hz · a decision each ${m.hop_s} s · digest ${m.digest}`;
        return el("article", { class: "card" }, rendered(m.card || "This model has no card."), el("p", { class: "muted" }, facts));
      }),
    );
  }

  /** @param {"live" | "waiting" | "lost" | "locked"} status @param {string} text */
  say(status, text) {
    document.body.dataset.status = status;
    say(byId("status-text"), text);
    say(byId("decision-title"), status === "live" ? "Decision" : "Last decision");
  }

  /** Draw a frame and ask for the next. @param {number} nowMs */
  draw(nowMs) {
    this.signal.draw(nowMs);
    this.frames.n++;
    if (nowMs - this.frames.since > 2000) {
      say(byId("fps"), `${Math.round((1e3 * this.frames.n) / (nowMs - this.frames.since))} frames/s`);
      this.frames = { n: 0, since: nowMs };
    }
    requestAnimationFrame((t) => this.draw(t));
  }
}

/** @param {number} ms */
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

const page = new Page();
requestAnimationFrame((t) => page.draw(t));
page.run();
