// The table of devices: a row per device, kept in order and filtered. Settings stand in the URL's hash.
// With hundreds of rows the browser's layout is what costs: rows out of sight are written less often.

const OUT_OF_SIGHT = 5;
// Rows that move each second cannot be read.
const ORDER_S = 3;

class DeviceTable {
  // Columns as functions of a device, and whether its worst is the highest.
  static COLUMNS = {
    device: [(it) => it.path, false],
    condition: [(it) => -severity(it), true],
    free: [(it) => freeShare(it), false],
    utilization: [(it) => it.utilization_ratio, true],
    in_flight: [(it) => it.in_flight, true],
    waiting: [(it) => it.waiting, true],
    oldest: [(it) => (it.waiting ? it.oldest_waiting_seconds : null), true],
    errors: [(it) => it.errors_total, true],
  };
  static names = new Intl.Collator("en", { numeric: true });

  constructor(section) {
    const find = (selector) => section.querySelector(selector);
    this.body = find("tbody");
    this.template = find("#device").content.querySelector("tr");
    this.input = find("#filter");
    this.shown = find("#shown");
    this.none = find("#none");
    this.rows = new Map();
    this.round = 0;
    this.sight = new IntersectionObserver((entries) => this.#saw(entries), { rootMargin: "400px" });
    for (const element of this.body.rows) {
      this.#addRow(element, element.dataset.key);
    }
    this.sorters = [...section.querySelectorAll("th[data-sort]")].map((head) => this.#sorter(head));
    this.chips = new Map(["", ...CONDITIONS].map((name) => [name, this.#chip(name)]));
    find("#conditions").append(...this.chips.values());
    this.input.addEventListener("input", () => this.#changed());
    addEventListener("hashchange", () => this.#readHash());
    find("#filters").hidden = false;
    this.#readHash();
  }

  // Show these devices, as of `now`.
  update(devices, now) {
    this.round += 1;
    const gone = new Set(this.rows.keys());
    let changed = false;
    for (const [place, device] of devices.entries()) {
      gone.delete(device.path);
      const row = this.rows.get(device.path) ?? this.#newRow(device.path);
      const texts = deviceFields(device, now);
      const turned = row.condition !== texts.condition;
      changed ||= turned;
      row.device = device;
      row.condition = texts.condition;
      row.text = `${texts.device} ${texts.mount} ${texts.condition} ${texts.errnos} ${texts.findings}`.toLowerCase();
      row.texts = texts;
      if (turned || row.inSight || (place + this.round) % OUT_OF_SIGHT === 0) row.fields.set(texts);
      if (turned) row.element.dataset.condition = texts.condition;
    }
    for (const path of gone) {
      const { element } = this.rows.get(path);
      this.sight.unobserve(element);
      element.remove();
      this.rows.delete(path);
    }
    if (changed || Math.abs(now - this.ordered) >= ORDER_S) this.#order(now);
    this.#filter();
  }

  #newRow(path) {
    const element = this.template.cloneNode(true);
    element.dataset.key = path;
    this.body.append(element);
    return this.#addRow(element, path);
  }

  #addRow(element, path) {
    const row = { element, fields: new Fields(element) };
    this.rows.set(path, row);
    this.sight.observe(element);
    return row;
  }

  #saw(entries) {
    for (const { target, isIntersecting } of entries) {
      const row = this.rows.get(target.dataset.key);
      if (!row) continue;
      row.inSight = isIntersecting;
      if (isIntersecting && row.texts) row.fields.set(row.texts);
    }
  }

  // Before the first answer there is nothing to sort or filter by, and the server has sorted.
  #arrange() {
    if (!this.round) return;
    this.#order(this.ordered);
    this.#filter();
  }

  #order(now) {
    this.ordered = now;
    let place = this.body.firstElementChild;
    for (const { element } of [...this.rows.values()].sort(this.#comparison())) {
      if (element === place) place = place.nextElementSibling;
      else this.body.insertBefore(element, place);
    }
  }

  #filter() {
    const words = this.input.value.toLowerCase().split(/\s+/).filter(Boolean);
    const counts = new Map();
    let shown = 0;
    for (const row of this.rows.values()) {
      const found = words.every((word) => row.text.includes(word));
      const shows = found && (!this.chosen.size || this.chosen.has(row.condition));
      if (found) counts.set(row.condition, (counts.get(row.condition) ?? 0) + 1);
      if (row.element.hidden === shows) row.element.hidden = !shows;
      shown += shows;
    }
    this.#describe(counts, shown);
  }

  #comparison() {
    const [value] = DeviceTable.COLUMNS[this.sort];
    const sign = this.descending ? -1 : 1;
    const byPath = (a, b) => DeviceTable.names.compare(a.device.path, b.device.path);
    if (this.sort === "device") return (a, b) => sign * byPath(a, b);
    return (a, b) => {
      const [x, y] = [value(a.device), value(b.device)];
      // What is unknown comes last either way.
      if (absent(x) || absent(y)) return absent(x) - absent(y) || byPath(a, b);
      return sign * (x - y) || byPath(a, b);
    };
  }

  #describe(counts, shown) {
    const all = this.rows.size;
    const found = sum([...counts.values()]);
    for (const [name, chip] of this.chips) {
      const number = name ? counts.get(name) ?? 0 : found;
      const pressed = name ? this.chosen.has(name) : !this.chosen.size;
      chip.hidden = Boolean(name) && !number && !pressed;
      setText(chip.lastElementChild, count(number));
      if (chip.ariaPressed !== String(pressed)) chip.ariaPressed = String(pressed);
    }
    setText(this.shown, shown === all ? count(all) : `${count(shown)} of ${count(all)}`);
    this.none.hidden = shown > 0;
    setText(this.none, all ? "No device matches the filter." : "The docroot has no device.");
    for (const head of this.sorters) {
      const order = head.dataset.sort !== this.sort ? null
        : this.descending ? "descending" : "ascending";
      if (head.ariaSort !== order) head.ariaSort = order;
    }
  }

  #sorter(head) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const name = head.dataset.sort;
      this.descending = this.sort === name ? !this.descending : DeviceTable.COLUMNS[name][1];
      this.sort = name;
      this.#changed();
    });
    return head;
  }

  #chip(name) {
    const chip = document.createElement("button");
    chip.type = "button";
    chip.dataset.condition = name;
    const [word, number] = [document.createElement("span"), document.createElement("span")];
    word.textContent = name || "all";
    chip.append(word, " ", number);
    chip.addEventListener("click", () => {
      if (!name) this.chosen.clear();
      else if (!this.chosen.delete(name)) this.chosen.add(name);
      this.#changed();
    });
    return chip;
  }

  #changed() {
    this.#arrange();
    clearTimeout(this.writing);
    // A browser refuses to change the address for each key that is hit.
    this.writing = setTimeout(() => this.#writeHash(), 200);
  }

  #writeHash() {
    const settings = new URLSearchParams();
    const usual = DeviceTable.COLUMNS[this.sort][1];
    if (this.sort !== "condition") settings.set("sort", this.sort);
    if (this.descending !== usual) settings.set("order", this.descending ? "down" : "up");
    if (this.chosen.size) settings.set("state", [...this.chosen].join(","));
    if (this.input.value) settings.set("filter", this.input.value);
    history.replaceState(null, "", String(settings) ? `#${settings}` : location.pathname);
  }

  #readHash() {
    const settings = new URLSearchParams(location.hash.slice(1));
    const named = settings.get("sort");
    this.sort = Object.hasOwn(DeviceTable.COLUMNS, named) ? named : "condition";
    const order = settings.get("order");
    this.descending = { down: true, up: false }[order] ?? DeviceTable.COLUMNS[this.sort][1];
    this.chosen = new Set((settings.get("state") ?? "").split(",").filter((name) => CONDITIONS.includes(name)));
    this.input.value = settings.get("filter") ?? "";
    this.#arrange();
  }
}
