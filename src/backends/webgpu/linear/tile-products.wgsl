// Adds the products of a step's tiles, xs and ws, to the sums of an invocation.
    for (var i = 0u; i < STEP / 4u; i++) {
      let w0 = ws[tx * PITCH + i];
      let w1 = ws[(tx + 16u) * PITCH + i];
      let w2 = ws[(tx + 32u) * PITCH + i];
      let w3 = ws[(tx + 48u) * PITCH + i];
      for (var r = 0u; r < EACH; r++) {
        let v = xs[(ty * EACH + r) * PITCH + i];
        acc[r] += vec4f(dot(v, w0), dot(v, w1), dot(v, w2), dot(v, w3));
      }
    }
