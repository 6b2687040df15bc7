// The server: requests and sockets with the key of this tab.

const KEY = "neural-foundation.key";
const PROTOCOL = "neural-foundation.v1";

/** The server answered, but not with what was asked for. */
export class Refused extends Error {
  /** @param {number} status @param {string} message */
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** The key of this tab; it is never put into an address. */
export const key = {
  get: () => sessionStorage.getItem(KEY) ?? "",
  /** @param {string} text */
  keep: (text) => sessionStorage.setItem(KEY, text),
  forget: () => sessionStorage.removeItem(KEY),
};

/**
 * @typedef {{connection: string, task: string, since_s: number, signal_s: number, decisions: number, source: boolean,
 *   lights: Record<string, string>}} Listed
 * @typedef {{task: string, classes: string[], digest: string, sfreq: number, ch_names: string[], hop_s: number,
 *   lookahead_s: number, card: string}} Model
 */

/** @returns {Promise<Listed[]>} the connections there are, the newest first */
export async function connections() {
  const found = /** @type {Listed[]} */ (await get("/v1/connections"));
  return found.reverse().sort((a, b) => a.since_s - b.since_s); // as listed, the newer of two equals comes later
}

/** @returns {Promise<Model[]>} */
export const models = () => get("/v1/models");

/** @param {string} path @returns {Promise<any>} */
async function get(path) {
  const headers = key.get() ? { Authorization: `Bearer ${key.get()}` } : {};
  const answer = await fetch(path, { headers, cache: "no-store", credentials: "omit" });
  if (answer.ok) return answer.json();
  const said = await answer.json().catch(() => ({}));
  throw new Refused(answer.status, String(said.error ?? answer.statusText));
}

/** @param {string} name @returns {WebSocket} a socket that watches a connection */
export function watching(name) {
  const address = new URL(`/v1/watch/${encodeURIComponent(name)}`, location.href);
  address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
  const socket = new WebSocket(address, key.get() ? [PROTOCOL, `bearer.${key.get()}`] : [PROTOCOL]);
  socket.binaryType = "arraybuffer";
  return socket;
}
