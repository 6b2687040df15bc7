// The last seconds of signal, by absolute sample number.

const BASELINE_HZ = 0.3;

/** Removes what is slower than 0.3 Hz, channel by channel, so that each trace stays in its row. */
class Baseline {
  /** @param {number} nChans @param {number} sfreq */
  constructor(nChans, sfreq) {
    this.level = new Float64Array(nChans).fill(NaN);
    this.share = 1 - Math.exp((-2 * Math.PI * BASELINE_HZ) / sfreq);
  }

  /** @param {Float32Array} values one channel's, changed in place @param {number} channel */
  remove(values, channel) {
    let level = this.level[channel];
    if (Number.isNaN(level)) level = mean(values);
    for (let i = 0; i < values.length; i++) {
      const value = values[i];
      if (Number.isFinite(value)) level += this.share * (value - level);
      values[i] = value - level;
    }
    this.level[channel] = level;
  }

  /** Start anew, as after a gap. */
  restart() {
    this.level.fill(NaN);
  }
}

/** @param {Float32Array} values @returns {number} NaN where none is finite */
function mean(values) {
  let sum = 0;
  let n = 0;
  for (const value of values) {
    if (Number.isFinite(value)) {
      sum += value;
      n++;
    }
  }
  return sum / n;
}

export class Ring {
  /** @param {number} nChans @param {number} sfreq @param {number} capacity samples of each channel */
  constructor(nChans, sfreq, capacity) {
    this.nChans = nChans;
    this.sfreq = sfreq;
    this.capacity = capacity;
    this.data = new Float32Array(nChans * capacity).fill(NaN);
    this.baseline = new Baseline(nChans, sfreq);
    this.begun = false;
    this.first = 0;
    this.end = 0;
  }

  /**
   * Add samples (C, n) that begin at sample `start`; what lies between them and the last ones is NaN.
   * @param {number} start @param {number} n @param {Float32Array} values taken over
   * @returns {[number, number] | null} the samples that are missing before these
   */
  push(start, n, values) {
    if (!this.begun || start < this.end) this.restart(start);
    const gap = this.skip(start);
    for (let c = 0; c < this.nChans; c++) {
      const row = values.subarray(c * n, (c + 1) * n);
      this.baseline.remove(row, c);
      this.put(c, row);
    }
    this.end = start + n;
    return gap;
  }

  /** @param {number} start */
  restart(start) {
    this.data.fill(NaN);
    this.baseline.restart();
    this.begun = true;
    this.first = this.end = start;
  }

  /** @param {number} start @returns {[number, number] | null} */
  skip(start) {
    if (start === this.end) return null;
    const gap = /** @type {[number, number]} */ ([this.end, start]);
    for (let i = Math.max(this.end, start - this.capacity); i < start; i++) {
      for (let c = 0; c < this.nChans; c++) this.data[c * this.capacity + (i % this.capacity)] = NaN;
    }
    this.baseline.restart();
    this.end = start;
    return gap;
  }

  /** @param {number} channel @param {Float32Array} row */
  put(channel, row) {
    const kept = row.length > this.capacity ? row.subarray(row.length - this.capacity) : row;
    const at = (this.end + row.length - kept.length) % this.capacity;
    const fits = Math.min(kept.length, this.capacity - at);
    this.data.set(kept.subarray(0, fits), channel * this.capacity + at);
    this.data.set(kept.subarray(fits), channel * this.capacity);
  }

  /** The oldest sample that is still there. */
  get oldest() {
    return Math.max(this.first, this.end - this.capacity);
  }

  /**
   * Half the spread of a channel's last samples: what an amplitude is, robustly and quickly.
   * @param {number} channel @param {number} n
   */
  spread(channel, n) {
    let sum = 0;
    let count = 0;
    const from = Math.max(this.oldest, this.end - n);
    const step = Math.max(1, Math.floor((this.end - from) / 500));
    for (let i = from; i < this.end; i += step) {
      const value = this.data[channel * this.capacity + (i % this.capacity)];
      if (Number.isFinite(value)) {
        sum += value * value;
        count++;
      }
    }
    return Math.sqrt(sum / count);
  }
}
