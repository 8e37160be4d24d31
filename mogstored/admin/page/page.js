// The page, live: asks for /status.json while it is looked at, and says when no answer comes.

const PERIOD_MS = 1000;
// With more than these it asks every other time: an answer has some hundred kilobytes then.
const MANY_DEVICES = 100;
const PATIENCE_MS = 5000;
// A rate is that of so many seconds; a chart has a minute.
const RATE_S = 5;
// Where the small tables would push the devices out of sight.
const NARROW = matchMedia("(max-width: 75rem)");

function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

// Elements with data-f, which are written only when their text changes.
class Fields {
  constructor(...roots) {
    this.elements = new Map();
    for (const element of roots.flatMap((root) => [...root.querySelectorAll("[data-f]")])) {
      this.elements.set(element.dataset.f, element);
    }
    this.last = {};
  }

  set(texts) {
    for (const [name, text] of Object.entries(texts)) {
      const element = this.elements.get(name);
      if (!element || this.last[name] === text) continue;
      this.last[name] = text;
      const { attr } = element.dataset;
      if (attr) element.setAttribute(attr, text);
      else setText(element, text);
      if ("title" in element.dataset) element.title = text;
    }
  }
}

// Rates from the differences of totals, and their last minute.
class Rates {
  constructor() {
    this.samples = [];
  }

  add(status) {
    const { http, node, workers } = status;
    const last = this.samples.at(-1);
    const sample = {
      time: status.time,
      pid: node.pid,
      requests: answered(http),
      sent: http.sent_bytes,
      received: http.received_bytes,
      cpu: node.cpu_seconds,
      workers: new Map(workers.map((it) => [it.pid, it.cpu_seconds])),
    };
    if (last?.time === sample.time) return;
    // Nothing in common: another process, or one that counts anew, or a clock that was set back.
    const anew = last?.pid !== sample.pid || sample.requests < last.requests || sample.time < last.time;
    if (anew) this.samples = [];
    this.samples = [...this.samples, sample].slice(-SPARK_WIDTH - 1);
  }

  // The last sample, and an earlier one some seconds before it.
  #recent() {
    const last = this.samples.at(-1);
    const near = this.samples.findIndex((it) => it.time >= last.time - RATE_S);
    return [this.samples[Math.max(0, Math.min(near, this.samples.length - 2))], last];
  }

  of(name) {
    return Rates.#rate(...this.#recent(), (sample) => sample[name]);
  }

  ofWorker(pid) {
    return Rates.#rate(...this.#recent(), (sample) => sample.workers.get(pid));
  }

  static #rate(first, last, value) {
    const difference = value(last) - value(first);
    const rate = difference / (last.time - first.time);
    return Number.isFinite(rate) ? Math.max(rate, 0) : null;
  }

  chart(name) {
    const pairs = this.samples.slice(1).map((sample, place) => [this.samples[place], sample]);
    const rates = pairs.map(([a, b]) => Math.max(b[name] - a[name], 0) / (b.time - a.time));
    const highest = Math.max(...rates);
    return highest > 0 ? steps(rates.map((rate) => rate / highest), SPARK_WIDTH, SPARK_HEIGHT) : "";
  }
}

class Page {
  constructor() {
    const find = (selector) => document.querySelector(selector);
    this.fields = new Fields(...document.querySelectorAll("header, .tiles, #reasons"));
    this.notice = find("#notice");
    this.reasons = find("#reasons");
    this.state = find("#state");
    this.rates = new Rates();
    this.table = new DeviceTable(find("#devices"));
    this.answered = new Date();
    if (NARROW.matches) find("#parts").open = false;
    find(".skip").addEventListener("click", (event) => {
      event.preventDefault(); // the hash has the settings of the table
      find("#devices").focus();
    });
    document.addEventListener("visibilitychange", () => this.#poll());
    this.#poll();
  }

  async #poll() {
    clearTimeout(this.timer);
    if (document.hidden || this.asking) return;
    this.asking = true;
    try {
      const limit = AbortSignal.timeout(PATIENCE_MS);
      const response = await fetch("status.json", { cache: "no-store", signal: limit });
      if (!response.ok) throw new Error(`status ${response.status}`);
      this.show(await response.json());
      this.answered = new Date();
      this.#lost(null);
    } catch (error) {
      this.#lost(error);
    } finally {
      this.asking = false;
    }
    const many = this.table.rows.size > MANY_DEVICES;
    this.timer = setTimeout(() => this.#poll(), many ? 2 * PERIOD_MS : PERIOD_MS);
  }

  #lost(error) {
    document.documentElement.classList.toggle("lost", Boolean(error));
    this.notice.hidden = !error;
    if (error) setText(this.notice, `No answer since ${clock(this.answered)}. The numbers are old; still asking.`);
  }

  // Show a status, newer than the last.
  show(status) {
    const { version } = status.node;
    // After an upgrade the page is that of the new version; the hash keeps the settings.
    if (version !== document.documentElement.dataset.version) location.reload();
    this.rates.add(status);
    const totals = overview(status);
    this.fields.set({
      ...totals,
      ...this.#rateTexts(totals),
      time: clock(new Date(status.time * 1000)),
    });
    this.state.dataset.ready = status.node.ready ? "yes" : "no";
    this.reasons.hidden = !status.node.not_ready_reasons.length;
    this.table.update(status.devices, status.time);
    const faulty = status.devices.filter((it) => it.state !== "ok").length;
    document.title = `${faulty ? `(${faulty}) ` : ""}${status.node.hostname} · mogstored`;
    this.#fillTables(status);
  }

  #rateTexts(totals) {
    const [requests, sent, received, cpu] = ["requests", "sent", "received", "cpu"].map((name) => this.rates.of(name));
    if (requests === null) return {};
    return {
      requests: `${decimal(requests)}/s`,
      requests_note: `${totals.requests} in all`,
      requests_chart: this.rates.chart("requests"),
      sent: `${size(sent)}/s`,
      sent_note: `${totals.sent} in all`,
      sent_chart: this.rates.chart("sent"),
      received: `${size(received)}/s`,
      received_note: `${totals.received} in all`,
      received_chart: this.rates.chart("received"),
      cpu: percent(cpu),
      cpu_chart: this.rates.chart("cpu"),
    };
  }

  #fillTables(status) {
    const filled = tables(status);
    for (const [place, { pid }] of status.workers.entries()) {
      const rate = this.rates.ofWorker(pid);
      if (rate !== null) filled.workers[place][4] = percent(rate);
    }
    for (const card of document.querySelectorAll("[data-table]")) {
      fillTable(card.querySelector("tbody"), filled[card.dataset.table], Number(card.dataset.words));
    }
  }
}

function fillTable(body, rows, words) {
  while (body.rows.length > rows.length) body.lastElementChild.remove();
  for (const [place, texts] of rows.entries()) {
    const row = body.rows[place] ?? body.insertRow();
    for (const [column, text] of texts.entries()) {
      const cell = row.cells[column] ?? row.insertCell();
      cell.classList.toggle("number", column >= words);
      setText(cell, text);
    }
  }
}

function clock(date) {
  return date.toLocaleTimeString("en-GB");
}

const page = new Page();
