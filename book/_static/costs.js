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
      rows: spatial,
      columns: cout,
      depth: cin * area,
      cin,
      patches: batch * Math.ceil(height / 4) * Math.ceil(width / 4),
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

  function largeKernelNs(f, x, s) {
    const depth = f.depth * (f.validMacs / f.macs) ** x.v + x.k0;
    const work = tileWork(f.rows, f.columns, depth, 1, s.conv_heights, s.widths, x.ck, x.P);
    const traffic = missed(f.activationBytes, x);
    let z = join(work / (x.d * x.p), traffic / x.b, s.overlap);
    if (s.winograd && f.winograd) {
      const products = tileWork(f.patches, f.columns, f.cin + x.k0, 36, s.conv_heights, s.widths, x.ck, x.P);
      const moved = traffic + 72 * DTYPE_BYTES * (f.patches * (f.cin + f.columns) + f.cin * f.columns);
      z = Math.min(z, join(products / (x.w * x.p), moved / x.b, s.overlap));
    }
    return z + f.weightBytes / x.bw;
  }

  function bestMs(f, values, structure) {
    const x = { ...structure.fixed, ...values };
    let z;
    if (f.dense || f.pointwise) {
      const heights = f.dense ? structure.dense_heights : structure.conv_heights;
      const work = tileWork(f.rows, f.columns, f.depth + x.k0, 1, heights, structure.widths, x.c, 0);
      z = join(work / x.p, missed(f.activationBytes, x) / x.b, structure.overlap) + missed(f.weightBytes, x) / x.b;
    } else {
      z = largeKernelNs(f, x, structure);
    }
    z /= 1e6;
    return z * (1 + (x.t0 / z) ** x.q) ** (1 / x.q);
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
