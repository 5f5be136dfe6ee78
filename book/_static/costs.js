/* Counts and cost formulas of one layer: what alphaflops/layers and alphaflops/costs compute, for the calculator.
   A layer is {kind, height, width, in_channels, out_channels, kernel, batch}: fp32, stride 1, padding "same", one
   group, no bias. tests/test_browser.py compares every function with Python. */
"use strict";

window.alphaflops = (() => {
  const DTYPE_BYTES = 4;

  // Taps along one axis whose input is data rather than padding.
  function tapsOnData(size, kernel) {
    const before = Math.floor((kernel - 1) / 2);
    let count = 0;
    for (let k = 0; k < kernel; k++) {
      const first = Math.max(before - k, 0);
      const last = Math.min(size - 1 + before - k, size - 1);
      count += Math.max(last - first + 1, 0);
    }
    return count;
  }

  /* Sizes that the formulas take; units as in alphaflops/costs/features.py. */
  function features(layer) {
    const { kind, height, width, in_channels: cin, out_channels: cout, kernel, batch } = layer;
    const dense = kind === "dense";
    const area = kernel * kernel;
    const spatial = batch * height * width;
    const macs = spatial * (cin * cout) * area;
    const params = cin * cout * area;
    const weightBytes = params * DTYPE_BYTES;
    const bytes = (spatial * (cin + cout) + params) * DTYPE_BYTES;
    return {
      macs,
      flops: 2 * macs,
      params,
      bytes,
      spatial,
      area,
      weightBytes,
      validMacs: batch * (cin * cout) * tapsOnData(height, kernel) * tapsOnData(width, kernel),
      activationBytes: bytes - weightBytes,
      outputBytes: spatial * cout * DTYPE_BYTES,
      rows: spatial,
      columns: cout,
      depth: cin * area,
      cin,
      patches: batch * Math.ceil(height / 4) * Math.ceil(width / 4),
      blocks: batch * Math.ceil(height / 8) * Math.ceil(width / 16),
      dense,
      pointwise: !dense && area === 1,
      winograd: !dense && kernel === 3,
    };
  }

  /* Factor of the paper; constants are {beta_1, gamma_1, beta_k, gamma_k, side}. */
  function alpha(s, area, constants) {
    const one = area === 1;
    const sK = Math.log(area) * (constants.side ? 0.5 : 1) + 1;
    const beta = one ? constants.beta_1 : constants.beta_k;
    const gamma = one ? constants.gamma_1 : constants.gamma_k;
    return ((sK + beta * (s - sK)) / s) ** gamma;
  }

  function alphaMs(f, constants) {
    const scale = f.area === 1 ? constants.scale_1 : constants.scale_k;
    return (scale * alpha(f.spatial, f.area, constants) * f.macs) / 1e6;
  }

  const refitted = (x) => ({ ...x, scale_1: x.scale, scale_k: x.scale, side: false });

  // The larger one is factored out, as in Python, so that both round alike.
  function join(first, second, power) {
    if (power === 1) return first + second;
    const top = Math.max(first, second);
    return top * ((first / top) ** power + (second / top) ** power) ** (1 / power);
  }

  // Products that the best tile shape spends; full: tiles that keep the machine busy.
  function tileWork(rows, columns, depth, copies, heights, widths, edge, full) {
    let best = Infinity;
    for (const a of heights) {
      for (const b of widths) {
        const tiles = Math.hypot(copies * Math.ceil(rows / a) * Math.ceil(columns / b), full);
        best = Math.min(best, tiles * ((a * b + edge * (a + b)) / (1 + edge / 64)));
      }
    }
    return best * depth;
  }

  // Traffic that a cache of s megabytes does not keep.
  const missed = (bytes, x) => bytes * (bytes / (bytes + 1e6 * x.s));

  // Bytes of a buffer that the system hands out anew; exponents are those of best.py.
  function fresh(bytes, x) {
    const ratio = (bytes / (1e6 * x.m)) ** 4;
    return bytes * (ratio / (1 + ratio));
  }

  // Depth of a tile with its start and end.
  const powerSum = (depth, start, power) =>
    power === 1 ? depth + start : (depth ** power + start ** power) ** (1 / power);

  function winogradNs(f, x, s, traffic) {
    const speed = x.w * x.p;
    const depth = powerSum(f.cin, x.kc, s.start);
    let z = Infinity;
    if (s.winograd) {
      const moved = (72 * DTYPE_BYTES * f.patches * (f.cin + f.columns)) / x.b;
      const work = tileWork(f.patches, f.columns, depth, 36, s.large_heights, s.widths, x.ck, x.P) / speed;
      const beside = join(work, (1 - s.transforms) * moved, s.overlap);
      z = beside + traffic + s.transforms * moved + (2 * f.weightBytes) / x.bw;
    }
    if (s.fused) {
      const blocks = Math.hypot(f.blocks * Math.ceil(f.columns / 32), x.P / 2);
      z = Math.min(z, join((blocks * 16384 * depth) / speed, traffic, s.overlap));
    }
    return z;
  }

  function largeKernelNs(f, x, s) {
    const depth = powerSum(f.depth * (f.validMacs / f.macs) ** x.v, x.kc, s.start);
    const work = tileWork(f.rows, f.columns, depth, 1, s.large_heights, s.widths, x.ck, x.P);
    const traffic = missed(f.activationBytes, x) / x.b;
    let z = join(work / (x.d * x.p), traffic, s.overlap);
    if (f.winograd) z = Math.min(z, winogradNs(f, x, s, traffic));
    const lines = (f.columns * f.area) ** 1.5;
    const spread = s.relayout ? lines / (lines + x.u ** 1.5) : 1;
    return z + (spread * f.weightBytes) / x.bw + fresh(f.weightBytes, x) / x.f;
  }

  function bestMs(f, values, structure) {
    const x = { ...structure.fixed, ...values };
    let z;
    if (f.dense || f.pointwise) {
      const heights = f.dense ? structure.dense_heights : structure.point_heights;
      const depth = powerSum(f.depth, f.dense ? x.k0 : x.kc, structure.start);
      const work = tileWork(f.rows, f.columns, depth, 1, heights, structure.widths, x.c, 0);
      z = join(work / x.p, missed(f.activationBytes, x) / x.b, structure.overlap);
    } else {
      z = largeKernelNs(f, x, structure);
    }
    z = (z + (missed(f.weightBytes, x) / x.b + fresh(f.outputBytes, x) / x.f)) / 1e6;
    const y = z * (1 + (x.t0 / z) ** x.q) ** (1 / x.q);
    return y * (1 + (0.5 * y) / (y + x.l));
  }

  const MODELS = {
    "macs+t0": (f, x) => x.t0 + (x.scale * f.macs) / 1e6,
    alpha: (f, x) => alphaMs(f, refitted(x)),
    best: bestMs,
  };

  /* Time of a layer by a calibration: {ms, low, high, outside}. */
  function predict(calibration, f, structure) {
    const ms = MODELS[calibration.model](f, calibration.values, structure);
    const layerClass = f.dense ? "dense" : f.pointwise ? "1x1" : "larger";
    let low = NaN;
    let high = NaN;
    for (const band of calibration.bands) {
      const fits = band.layer_class === "all" || band.layer_class === layerClass;
      if (fits && ms >= band.from_ms && (band.to_ms === null || ms < band.to_ms)) {
        low = ms * band.low_factor;
        high = ms * band.high_factor;
      }
    }
    return { ms, low, high, outside: outside(calibration, f, layerClass) };
  }

  function outside(calibration, f, layerClass) {
    const { sizes, habits, slack } = calibration.region;
    const own = { groups: 1, stride1: 1, stride2: 1, dilation1: 1, dilation2: 1, dtype_bytes: DTYPE_BYTES };
    if (Object.entries(habits).some(([name, seen]) => !seen.includes(own[name]))) return true;
    if (!(layerClass in sizes)) return true;
    return Object.entries(sizes[layerClass]).some(([name, [least, most]]) => f[name] < least / slack || f[name] > most * slack);
  }

  return { features, alpha, alphaMs, predict, models: Object.keys(MODELS) };
})();
