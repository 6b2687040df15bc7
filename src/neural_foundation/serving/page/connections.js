// The list of connections, and which of them is shown.

import { byId, el, say } from "./dom.js";
import { clock } from "./format.js";
import { wordsOf } from "./lights.js";

const ORDER = ["alarm", "warn", "learning", "ok"];

export class ConnectionList {
  /** @param {(name: string) => void} choose */
  constructor(choose) {
    this.choose = choose;
    /** @type {Map<string, {button: HTMLElement, facts: HTMLElement}>} */
    this.entries = new Map();
    byId("open-connections").addEventListener("click", () => byId("connections").showModal());
  }

  /** @param {import("./api.js").Listed[]} found @param {string} shown the name of the one that is shown */
  show(found, shown) {
    say(byId("n-connections"), String(found.length));
    const names = found.map((c) => c.connection);
    if (names.join() !== [...this.entries.keys()].join()) {
      this.entries.clear();
      const rows = found.map((c) => this.entry(c.connection));
      byId("connection-list").replaceChildren(...(rows.length ? rows : [el("li", { class: "muted" }, "There are none now.")]));
    }
    for (const connection of found) this.tell(connection, connection.connection === shown);
  }

  /** @param {string} name */
  entry(name) {
    const facts = el("span", { class: "muted" });
    const button = el("button", { type: "button", class: "choice" }, el("span", { class: "name" }, name), facts);
    button.addEventListener("click", () => {
      this.choose(name);
      byId("connections").close();
    });
    this.entries.set(name, { button, facts });
    return el("li", {}, button);
  }

  /** @param {import("./api.js").Listed} connection @param {boolean} shown */
  tell(connection, shown) {
    const { button, facts } = /** @type {{button: HTMLElement, facts: HTMLElement}} */ (this.entries.get(connection.connection));
    if (shown) button.setAttribute("aria-current", "true");
    else button.removeAttribute("aria-current");
    const worst = ORDER.find((l) => Object.values(connection.lights).includes(l)) ?? "ok";
    const parts = [
      connection.task,
      `${clock(connection.signal_s)} of signal`,
      `${connection.decisions.toLocaleString()} decisions`,
      wordsOf(worst).join(" "),
    ];
    if (connection.source) parts.push("the server's own source");
    say(facts, parts.join(" · "));
  }
}
