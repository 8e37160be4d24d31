// What the page shows of a status, as texts by field and row; rows.py has the same functions.

// Worst first. The last three are no states of a device: they are states of one that is ok.
const CONDITIONS = [
  "down", "hung", "failed", "unmounted", "no-writes", "read-only", "full", "waiting", "ok",
];
const FULL_BELOW = 0.01;
const [SPARK_WIDTH, SPARK_HEIGHT] = [60, 16];
const SHOWN_FINDINGS = 20;

const share = (part, whole) => (absent(part) || !whole ? null : part / whole);
const freeShare = (device) => share(device.available_bytes, device.size_bytes);
const inodesFree = (device) => share(device.inodes_free, device.inodes);
const findings = (device) => device.scrub?.findings ?? [];
const sum = (numbers) => numbers.reduce((total, number) => total + number, 0);
const byNumberThenName = ([a, x], [b, y]) => y - x || (a < b ? -1 : 1);

function condition(device) {
  if (device.state !== "ok") return device.state;
  const full = (free) => free !== null && free < FULL_BELOW;
  if (full(freeShare(device)) || full(inodesFree(device))) return "full";
  return device.waiting ? "waiting" : "ok";
}

const severity = (device) => CONDITIONS.indexOf(condition(device));

function deviceFields(device, now) {
  const free = freeShare(device);
  const inodes = inodesFree(device);
  const errnos = {};
  for (const byErrno of Object.values(device.errors)) {
    for (const [errno, number] of Object.entries(byErrno)) {
      errnos[errno] = (errnos[errno] ?? 0) + number;
    }
  }
  const since = device.state_since;
  const showsSince = !absent(since) && device.state !== "ok";
  return {
    device: device.device,
    mount: `${device.source || "unknown source"} on ${device.path}`,
    condition: condition(device),
    since: showsSince ? `for ${duration(Math.max(now - since, 0))}` : "",
    free: size(device.available_bytes),
    of: free === null ? "" : `${percent(free)} of ${size(device.size_bytes)}`,
    inodes: inodes !== null && inodes < 0.05 ? `${percent(inodes)} of inodes` : "",
    bar: free === null ? "0" : String(Math.floor((1 - free) * 100 + 0.5)),
    utilization: percent(device.utilization_ratio),
    spark: steps(device.utilization_history, SPARK_WIDTH, SPARK_HEIGHT),
    in_flight: count(device.in_flight),
    waiting: count(device.waiting),
    oldest: device.waiting ? duration(device.oldest_waiting_seconds) : UNKNOWN,
    errors: count(device.errors_total),
    errnos: Object.entries(errnos).sort(byNumberThenName).slice(0, 3).map(([name]) => name).join(" "),
    findings: numberOfFindings(findings(device).length),
  };
}

const numberOfFindings = (number) => (number ? `${count(number)} finding${number > 1 ? "s" : ""}` : "");

const answered = (http) => sum(Object.values(http.requests).flatMap((codes) => Object.values(codes)));

function overview(status) {
  const { node, http } = status;
  const connections = status.connections.http;
  const conditions = status.devices.map(condition);
  const number = (wanted) => conditions.filter((each) => each === wanted).length;
  const states = CONDITIONS.filter(number).map((each) => `${count(number(each))}\u00a0${each}`);
  const workers = node.worker_processes;
  return {
    hostname: node.hostname,
    state: node.ready ? node.state : `${node.state}, not ready`,
    facts: `mogstored ${node.version} · up ${duration(node.uptime_seconds)}`
      + ` · process ${node.pid} · Python ${node.python}, ${node.backend}`,
    reasons: node.not_ready_reasons.join("; "),
    requests: count(answered(http)),
    requests_note: "since the start",
    sent: size(http.sent_bytes),
    sent_note: "since the start",
    received: size(http.received_bytes),
    received_note: "since the start",
    connections: count(sum(Object.values(connections))),
    connections_note: `${count(connections.active)} active, ${count(connections.waiting)} waiting`,
    devices: count(conditions.length),
    devices_note: states.join(", ") || "the docroot is empty",
    cpu: duration(node.cpu_seconds),
    cpu_note: workers ? `${count(workers)} worker processes` : "a single process",
    memory: size(node.resident_bytes),
    memory_note: `${count(node.open_files)} of ${count(node.max_open_files)} files`,
  };
}

function tables(status) {
  const { time, http } = status;
  const sorted = (object) => Object.entries(object).sort(([a], [b]) => (a < b ? -1 : 1));
  return {
    workers: status.workers.map((worker) => workerRow(worker, time)),
    listeners: status.listeners.map((it) => [it.kind, it.address, it.docroot || UNKNOWN]),
    connections: Object.entries(status.connections).map(([protocol, states]) =>
      [protocol, ...["active", "idle", "waiting"].map((state) => count(states[state]))]),
    requests: sorted(http.requests).map(([name, codes]) => methodRow(name, codes, http.durations[name])),
    commands: Object.entries(status.sidechannel.commands).sort(byNumberThenName)
      .map(([name, number]) => [name, count(number)]),
    findings: status.devices.flatMap(findings).sort((a, b) => b.time - a.time).slice(0, SHOWN_FINDINGS)
      .map((it) => [it.path, it.kind, it.found, duration(Math.max(time - it.time, 0))]),
    threads: sorted(status.threads).map(([pool, { running, idle }]) =>
      [pool, count(running), count(idle)]),
  };
}

function workerRow(worker, now) {
  return [
    String(worker.pid),
    worker.answers ? worker.state : "no answer",
    absent(worker.started_at) ? UNKNOWN : duration(Math.max(now - worker.started_at, 0)),
    count(worker.connections),
    duration(worker.cpu_seconds),
    size(worker.resident_bytes),
    count(worker.open_files),
  ];
}

function methodRow(name, codes, times) {
  const classes = { 2: 0, 3: 0, 4: 0, 5: 0 };
  for (const [code, number] of Object.entries(codes)) {
    if (code[0] in classes) classes[code[0]] += number;
  }
  const mean = times && times.count ? times.sum_seconds / times.count : null;
  return [name, ...Object.values(classes).map(count), duration(mean)];
}
