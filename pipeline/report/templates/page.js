"use strict";
// The explorable dendrogram. Columns of `data` have one value per node; text from corpora goes in by textContent only.
(() => {
  const data = JSON.parse(document.getElementById("tree-data").textContent);
  const by = (name) => document.getElementById("tree-" + name);
  const view = by("view"), n = data.id.length;
  const SVG = "http://www.w3.org/2000/svg";

  const children = Array.from({ length: n }, () => []);
  data.parent.forEach((p, k) => { if (p >= 0) children[p].push(k); });
  children.forEach((list) => list.sort((a, b) => data.first[a] - data.first[b]));
  const top = data.parent.indexOf(-1);
  const state = { root: top, chosen: top, cut: Number(by("cut").value), opened: new Set(), closed: new Set(), hits: new Set() };
  let drawn = [];

  const make = (tag, text, parent) => {
    const element = document.createElement(tag);
    if (text !== undefined) element.textContent = text;
    if (parent) parent.append(element);
    return element;
  };
  const words = (k) => data.words[k].map((w) => data.text[w]);
  const name = (k) => (data.latent[k] >= 0 ? "latent " + data.latent[k] : data.size[k] + " latents");
  const above = (k) => { const path = []; for (let p = data.parent[k]; p >= 0; p = data.parent[p]) path.push(p); return path; };

  // --- what is drawn -------------------------------------------------------------------------------------------
  const FITS = -2; // a value of the control: unfold the largest groups first, as many as there is room for
  const PIXELS = 4; // that a branch takes then
  let fitting = new Set();
  const folded = (k) =>
    k !== state.root && children[k].length > 0 && !state.opened.has(k) &&
    (state.closed.has(k) || (state.cut === FITS ? !fitting.has(k) : data.r[k] >= state.cut));

  function fit(room) {
    fitting = new Set();
    const branches = [state.root];
    while (branches.length < room) {
      let largest = -1;
      branches.forEach((k, i) => {
        if (children[k].length && !state.closed.has(k) && (largest < 0 || data.size[k] > data.size[branches[largest]])) largest = i;
      });
      if (largest < 0) return;
      const [k] = branches.splice(largest, 1);
      fitting.add(k);
      branches.push(...children[k]);
    }
  }
  // Show what is inside `k`, down to the groups of the next finer cut.
  function unfold(k) {
    const next = data.cuts.find((cut) => cut > data.r[k]) ?? 2;
    const stack = [k];
    while (stack.length) {
      const inner = stack.pop();
      if (inner !== k && data.r[inner] >= next) continue;
      state.closed.delete(inner);
      state.opened.add(inner);
      stack.push(...children[inner]);
    }
  }
  const width = (k) => (data.latent[k] >= 0 ? 1 : 1 + Math.log2(data.size[k]));

  function layout() {
    const order = [], x = new Map();
    const stack = [state.root];
    while (stack.length) {
      const k = stack.pop();
      order.push(k);
      if (!folded(k)) for (let c = children[k].length - 1; c >= 0; c--) stack.push(children[k][c]);
    }
    let total = 0;
    for (const k of order) if (folded(k) || !children[k].length) { x.set(k, total + width(k) / 2); total += width(k); }
    for (let i = order.length - 1; i >= 0; i--) {
      const k = order[i];
      if (!x.has(k)) x.set(k, children[k].reduce((sum, c) => sum + x.get(c), 0) / children[k].length);
    }
    return { order, x, total };
  }

  const chosenColour = () => by("colour").value.split(":");
  const colours = treeColours(data, above);
  const colour = (k) => colours.of(...chosenColour(), k);

  function draw() {
    const w = view.clientWidth || 700;
    if (state.cut === FITS) fit(w / PIXELS);
    const { order, x, total } = layout();
    const h = view.clientHeight || 420, left = 34, bottom = 16, topmost = 8;
    const low = Math.min(data.r[state.root], ...order.map((k) => data.r[k]));
    const px = (k) => left + (x.get(k) / total) * (w - left - 6);
    const merges = order.filter((k) => data.latent[k] < 0);
    const high = merges.some(folded) ? 1 : Math.min(1, Math.max(low, ...merges.map((k) => data.r[k])) + 0.05);
    const py = (r) => topmost + ((Math.min(high, r) - low) / Math.max(0.001, high - low)) * (h - topmost - bottom);
    const parts = document.createDocumentFragment();
    const line = (d, attributes) => {
      const path = document.createElementNS(SVG, "path");
      path.setAttribute("d", d);
      for (const key in attributes) path.setAttribute(key, attributes[key]);
      parts.append(path);
    };
    const label = (text, at, y, anchor) => {
      const element = document.createElementNS(SVG, "text");
      element.setAttribute("x", at); element.setAttribute("y", y); element.setAttribute("text-anchor", anchor);
      element.textContent = text;
      parts.append(element);
    };
    for (let tick = Math.ceil(low * 5) / 5; tick <= high + 0.001; tick += 0.2) label(tick.toFixed(1), left - 5, py(tick) + 4, "end");
    for (const cut of data.cuts)
      if (cut > low && cut <= high) line(`M${left} ${py(cut)}H${w - 4}`, { class: "cut" });
    drawn = [];
    for (const k of order) {
      const y = py(data.r[k]), at = px(k), terminal = folded(k) || !children[k].length;
      const parent = k === state.root ? null : py(data.r[data.parent[k]]);
      const end = data.latent[k] >= 0 && parent !== null ? Math.min(y, parent + 10) : y;
      const strong = k === state.chosen ? "chosen" : state.hits.has(k) ? "hit" : "";
      let d = parent === null ? "" : `M${at} ${parent}V${end}`;
      let span = [at, at];
      if (!terminal) {
        span = [px(children[k][0]), px(children[k][children[k].length - 1])];
        d += `M${span[0]} ${y}H${span[1]}`;
      } else if (data.latent[k] < 0) {
        const half = Math.max(1, (width(k) / total) * (w - left) * 0.45);
        d += `M${at} ${y}L${at - half} ${h - bottom}H${at + half}Z`;
        span = [at - half, at + half];
      }
      const shape = { stroke: colour(k), class: "node " + strong, "data-k": k };
      if (terminal && data.latent[k] < 0) shape.fill = colour(k);
      line(d, shape);
      const marked = Object.keys(data.marked).some((level) => data.marked[level][k]);
      if (terminal && marked) line(`M${at - 3} ${h - 3}l3 -8l3 8z`, { class: "mark" });
      drawn.push({ k, at, y, parent, span, terminal });
    }
    view.replaceChildren(parts);
    by("legend").replaceChildren();
    for (const [shade, text] of colours.legend(...chosenColour(), drawn.map((node) => node.k))) {
      make("span", "", by("legend")).style.backgroundColor = shade;
      make("i", text, by("legend"));
    }
    view.setAttribute("viewBox", `0 0 ${w} ${h}`);
    by("where").textContent = state.root === top ? "The whole tree: " + data.latents + " latents."
      : "Inside node " + data.id[state.root] + ": " + data.size[state.root] + " latents.";
  }

  function nearest(event) {
    const box = view.getBoundingClientRect(), x = event.clientX - box.left, y = event.clientY - box.top;
    let best = null, least = Infinity;
    for (const node of drawn) {
      const aside = Math.max(0, node.span[0] - x, x - node.span[1]);
      const stem = Math.abs(x - node.at) + Math.max(0, (node.parent ?? node.y) - y, y - node.y);
      const bar = aside + (node.terminal ? Math.max(0, node.y - y) : Math.abs(y - node.y));
      const far = Math.min(stem, bar);
      if (far < least) { least = far; best = node.k; }
    }
    return best;
  }

  // --- the chosen node -----------------------------------------------------------------------------------------
  function choose(k) {
    state.chosen = k;
    const path = above(k);
    if (k !== state.root && !path.includes(state.root)) state.root = top;
    for (const p of path) if (p !== state.root && folded(p)) state.opened.add(p);
    draw();
    describe(k);
  }

  function describe(k) {
    const panel = by("node");
    panel.replaceChildren();
    make("h4", "Node " + data.id[k] + ": " + name(k), panel);
    make("p", words(k).join(" ") || "(no telling words)", panel).className = "node-words";
    const facts = make("ul", undefined, panel);
    if (data.latent[k] < 0) {
      make("li", `merged at r = ${data.r[k]}; coherence (mean correlation inside) ${data.coherence[k]}`, facts);
      make("li", data.stability[k] === null ? "stability: not measured (merged without positive correlation)"
        : `stability ${data.stability[k].toFixed(2)}: mean best overlap (Jaccard) with a group of a tree of resampled documents`, facts);
    }
    for (const [place, share] of data.place[k])
      if (share >= 10) make("li", `${share} % of its activation on known places is in ${data.places[place]}`, facts);
    for (const level in data.targets) {
      const [forget, sibling, other, general] = data.targets[level][k];
      make("li", `its activation, by ${level}: target ${forget} %, siblings ${sibling} %, other ${other} %, general ${general} %`, facts);
    }
    for (const level in data.marked)
      if (data.marked[level][k]) make("li", `${data.marked[level][k]} of its latents are clamped by subtree/${level}: ${data.effects[level]}`, facts);
    cutting(k, facts);
    const hidden = data.size[k] - children[k].reduce((sum, c) => sum + data.size[c], 0);
    if (children[k].length && hidden) make("li", hidden + " of its latents are not on this page", facts);
    for (const [tokens, strengths] of data.contexts[k]) {
      const quote = make("blockquote", undefined, panel);
      tokens.forEach((token, i) => {
        const mark = make(strengths[i] > "0" ? "mark" : "span", data.text[token], quote);
        if (strengths[i] > "0") mark.style.backgroundColor = `rgba(230, 159, 0, ${(0.2 + strengths[i] / 12).toFixed(2)})`;
      });
    }
    const near = make("p", "Go to: ", panel);
    if (data.parent[k] >= 0) link(near, "parent", data.parent[k]);
    for (const c of children[k]) link(near, name(c) + (words(c)[0] ? " (" + words(c)[0] + ")" : ""), c);
    const kind = data.latent[k] >= 0 ? "feature " + data.latent[k] : "group " + data.id[k];
    make("code", "uv run python -m pipeline inspect " + kind, panel);
  }

  // Measured by the stage evaluate for the nodes that matter most; losses are points of cloze on test probes.
  function cutting(k, facts) {
    const found = data.cutting[k];
    if (!found) {
      if (data.latent[k] < 0) make("li", "cutting it alone: not measured (only the nodes that matter most are)", facts);
      return;
    }
    const points = (value) => (value > 0 ? `−${value}` : value < 0 ? `+${-value}` : "0");
    make("li", `cutting it alone (its latents set to minus their mean code): ${points(found.all)} points of cloze over all probes`, facts);
    for (const level in found.targets) {
      const lost = Object.entries(found.targets[level]).map(([name, value]) => `${name === "forget" ? "target" : name} ${points(value)}`);
      make("li", `… for the ${level}: ${lost.join(", ")}`, facts);
    }
    if (found.worst.length)
      make("li", "… most at " + found.worst.map(([place, value, n]) => `${place} ${points(value)} (${n} probes)`).join("; "), facts);
  }

  function link(parent, text, k) {
    const button = make("button", text, parent);
    button.type = "button";
    button.dataset.k = k;
    button.addEventListener("click", () => choose(k));
    parent.append(" ");
  }

  // --- controls ------------------------------------------------------------------------------------------------
  function search() {
    const query = by("search").value.trim().toLowerCase();
    const found = [];
    if (query)
      for (let k = 0; k < n; k++) {
        let rank = words(k).findIndex((word) => word.toLowerCase().includes(query));
        if (rank < 0 && data.latent[k] >= 0 && data.contexts[k].some(([tokens, strengths]) =>
          tokens.some((token, i) => strengths[i] > "4" && data.text[token].toLowerCase().includes(query)))) rank = 99;
        if (rank >= 0) found.push([rank, data.size[k], k]);
      }
    found.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
    state.hits = new Set(found.map((row) => row[2]));
    const list = by("found");
    list.replaceChildren();
    if (query) make("span", found.length + " nodes for “" + query + "” ", list);
    for (const [, , k] of found.slice(0, 12)) link(list, name(k) + ": " + words(k).slice(0, 3).join(" "), k);
    draw();
  }

  view.addEventListener("click", (event) => { const k = nearest(event); if (k !== null) choose(k); });
  view.addEventListener("dblclick", (event) => { const k = nearest(event); if (k !== null) zoom(k); });
  // Look inside `k`; where that is more than fits, its largest parts are unfolded.
  const zoom = (k) => {
    if (!children[k].length) return;
    if (state.cut !== FITS) unfold(k);
    state.root = k;
    choose(k);
  };
  by("search").addEventListener("input", search);
  by("colour").addEventListener("change", draw);
  by("cut").addEventListener("change", () => {
    state.cut = Number(by("cut").value); state.opened.clear(); state.closed.clear(); draw();
  });
  by("zoom").addEventListener("click", () => zoom(state.chosen));
  by("up").addEventListener("click", () => { if (state.root !== top) zoom(data.parent[state.root]); });
  by("whole").addEventListener("click", () => zoom(top));
  by("fold").addEventListener("click", () => {
    const k = state.chosen;
    if (folded(k)) unfold(k); else { state.opened.delete(k); state.closed.add(k); }
    draw();
  });
  window.addEventListener("resize", draw);
  draw();
  describe(top);
})();
