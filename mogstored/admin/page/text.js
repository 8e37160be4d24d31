// Numbers as the page prints them; text.py has the same functions, digit for digit.

const UNKNOWN = "–";
const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
const absent = (value) => value === null || value === undefined;

function count(number) {
  return absent(number) ? UNKNOWN : String(number).replace(/\B(?=(\d{3})+$)/g, "\u202f");
}

function decimal(number) {
  if (number >= 100) return count(Math.floor(number + 0.5));
  const tenths = Math.floor(number * 10 + 0.5);
  return `${Math.floor(tenths / 10)}.${tenths % 10}`;
}

function size(number) {
  if (absent(number)) return UNKNOWN;
  let power = 0;
  while (number >= 1000 && power < UNITS.length - 1) {
    number /= 1024;
    power += 1;
  }
  return `${power ? decimal(number) : count(Math.floor(number + 0.5))}\u00a0${UNITS[power]}`;
}

function percent(ratio) {
  return absent(ratio) ? UNKNOWN : `${Math.floor(ratio * 100 + 0.5)}\u00a0%`;
}

function duration(seconds) {
  if (absent(seconds)) return UNKNOWN;
  if (seconds > 0 && seconds < 0.95) return `${decimal(seconds * 1000)}\u00a0ms`;
  if (seconds > 0 && seconds < 9.95) return `${decimal(seconds)}\u00a0s`;
  const whole = Math.floor(seconds + 0.5);
  const two = (number) => String(Math.floor(number)).padStart(2, "0");
  for (const [unit, length, lesser, part] of [["d", 86400, "h", 3600], ["h", 3600, "m", 60]]) {
    if (whole >= length) {
      return `${Math.floor(whole / length)}\u00a0${unit}\u00a0${two((whole % length) / part)}\u00a0${lesser}`;
    }
  }
  return whole >= 60 ? `${Math.floor(whole / 60)}\u00a0m\u00a0${two(whole % 60)}\u00a0s` : `${whole}\u00a0s`;
}

function steps(values, width, height) {
  const shown = values.slice(-width);
  let x = width - shown.length;
  let path = `M${x} ${height}`;
  let last = null;
  for (const [place, value] of shown.entries()) {
    const y = height - Math.floor(Math.min(Math.max(value ?? 0, 0), 1) * height + 0.5);
    if (y !== last) {
      path += `${place ? `H${x}` : ""}V${y}`;
      last = y;
    }
    x += 1;
  }
  return shown.length ? `${path}H${width}V${height}Z` : "";
}
