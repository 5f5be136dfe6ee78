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

  /* Sizes that the formulas take; units as in alphaflops/costs/model.py. */
  function features(layer) {
    const { kind, height, width, in_channels: cin, out_channels: cout, kernel, batch } = layer;
    const dense = kind === "dense";
    const area = kernel * kernel;
    const spatial = batch * height * width;
    const macs = spatial * (cin * cout) * area;
    const params = cin * cout * area;
    return {
      macs,
      flops: 2 * macs,
      params,
      bytes: (spatial * (cin + cout) + params) * DTYPE_BYTES,
      spatial,
      area,
      kernel_area: area,
      weightBytes: params * DTYPE_BYTES,
      validMacs: batch * (cin * cout) * tapsOnData(height, kernel) * tapsOnData(width, kernel),
      rows: spatial,
      columns: cout,
      depth: cin * area,
      cin,
      patches: batch * Math.ceil(height / 4) * Math.ceil(width / 4),
      dense,
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

  // `PADDED` of alphaflops/costs/formulas.py, line by line.
  function paddedMs(f, x) {
    const product = (rows, groups, depth, price) =>
      ((price * (groups * (rows + x.a) * (f.columns + 16) + 16 * x.a ** 2) * (depth + x.a / 8)) / x.p / 1e6) ** x.e;
    const moved = (f.bytes / x.b + (f.area > 1 ? f.weightBytes / x.bw : 0)) / 1e6;
    let time = product(f.rows, 1, f.cin * f.area ** x.k, 1);
    if (f.winograd) {
      const transforms = (72 * DTYPE_BYTES * f.patches * (f.cin + f.columns)) / x.b / 1e6;
      time = Math.min(time, transforms + product(f.patches, 36, f.cin, x.v));
    }
    return x.t0 + moved + time;
  }

  const MODELS = {
    "macs+t0": (f, x) => x.t0 + (x.scale * f.macs) / 1e6,
    alpha: (f, x) => alphaMs(f, refitted(x)),
    padded: paddedMs,
  };

  /* Time of a layer by a calibration, the middle of its interval and both ends: {ms, low, high, outside}. */
  function predict(calibration, f) {
    const ms = MODELS[calibration.model](f, calibration.values);
    const layerClass = f.dense ? "dense" : f.area === 1 ? "1x1" : "larger";
    let found;
    for (const band of calibration.bands) {
      const fits = band.layer_class === "all" || band.layer_class === layerClass;
      if (fits && ms >= band.from_ms && (band.to_ms === null || ms < band.to_ms)) found = band;
    }
    const { low_factor: low, middle_factor: middle, high_factor: high } = found;
    return { ms: ms * middle, low: ms * low, high: ms * high, outside: outside(calibration, f, layerClass) };
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
