// One connection as it runs: the socket, and what its frames hold.

import { watching } from "./api.js";

const HEADER = 24;
const TRACES = 32;

/**
 * @typedef {{start: number, n: number, dropped: number, values: Float32Array}} Traces values (C, n) in volts, row by row
 * @typedef {{time_s: number, probability: number[], valid: boolean, abstained: boolean, set: number,
 *   entropy?: number, disagreement?: number}} Decision
 * @typedef {{light: string, score: number, alarms: number, what: string, share?: number,
 *   bad?: Record<string, string[]>, sfreq?: number | null}} Light
 * @typedef {{signal_s: number, tokens: number, decisions: Decision[], lights: Record<string, Light>,
 *   delays: {edges_s: number[], counts: number[]}, dropped: number}} State
 * @typedef {import("./api.js").Model & {connection: string}} Start
 * @typedef {{start: (s: Start) => void, traces: (t: Traces) => void, state: (s: State) => void}} Handlers
 */

/**
 * @param {ArrayBuffer} data
 * @returns {Traces | null} null where it is a frame of another kind
 */
export function traces(data) {
  const head = new DataView(data);
  if (data.byteLength < HEADER || head.getUint8(0) !== 1 || head.getUint8(1) !== TRACES) return null;
  const whole = (/** @type {number} */ at) => Number(head.getBigUint64(at, true));
  return { n: head.getUint32(4, true), dropped: whole(8), start: whole(16), values: new Float32Array(data, HEADER) };
}

/**
 * Watch until the stream ends, the socket breaks or `stop` says so.
 * @param {string} name
 * @param {Handlers} handlers
 * @param {AbortSignal} stop
 * @returns {Promise<{how: "ended" | "broke" | "stopped" | "refused", why: string, begun: boolean}>}
 */
export function watch(name, handlers, stop) {
  return new Promise((resolve) => {
    const socket = watching(name);
    let refused = "";
    let begun = false;
    stop.addEventListener("abort", () => socket.close(1000), { once: true });
    socket.addEventListener("message", ({ data }) => {
      if (stop.aborted) return;
      if (typeof data !== "string") {
        const found = traces(data);
        if (found) handlers.traces(found);
        return;
      }
      const told = JSON.parse(data);
      if (told.type === "start") handlers.start(told);
      if (told.type === "state") handlers.state(told);
      if (told.type === "error") refused = told.message;
      begun ||= told.type === "start";
    });
    socket.addEventListener("close", ({ code, reason }) => {
      const how = stop.aborted ? "stopped" : refused ? "refused" : code === 1000 ? "ended" : "broke";
      resolve({ how, why: refused || reason, begun });
    });
  });
}
