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

  const words = (k) => data.words[k].map((w) => data.text[w]);
  const name = (k) => (data.latent[k] >= 0 ? "latent " + data.latent[k] : data.size[k] + " latents");
  const above = (k) => { const path = []; for (let p = data.parent[k]; p >= 0; p = data.parent[p]) path.push(p); return path; };

  // --- what is drawn -------------------------------------------------------------------------------------------
  const FITS = -2; // a value of the control: unfold the largest groups first, as many as there is room for
  const PIXELS = 4; // that a branch takes then
  const ROOM = 40; // latents around a node that is gone to
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
  const panel = treePanel(data, by("node"), { children, words, name, choose: (k) => choose(k) });

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
      const shape = { stroke: colour(k), class: "node", "data-k": k };
      if (terminal && data.latent[k] < 0) shape.fill = colour(k);
      line(d, shape);
      const marked = Object.keys(data.marked).some((level) => data.marked[level][k]);
      if (terminal && marked) line(`M${at - 3} ${h - 3}l3 -8l3 8z`, { class: "mark" });
      drawn.push({ k, at, y, parent, span, terminal });
    }
    view.replaceChildren(parts);
    view.setAttribute("viewBox", `0 0 ${w} ${h}`);
    legend();
    map(w);
    mark();
  }

  // The chosen node and what a search found; nothing is drawn anew, so that a second click finds what the first one did.
  function mark() {
    for (const path of view.querySelectorAll("path[data-k]")) {
      const k = Number(path.dataset.k);
      path.classList.toggle("chosen", k === state.chosen);
      path.classList.toggle("hit", state.hits.has(k));
    }
    const inside = state.root === top ? "The whole tree, " + data.latents + " latents."
      : "Inside node " + data.id[state.root] + ": " + data.size[state.root] + " latents.";
    const telling = words(state.chosen).slice(0, 3).join(" ");
    by("where").textContent = `${inside} Chosen: node ${data.id[state.chosen]}, ${name(state.chosen)}${telling ? ": " + telling : ""}.`;
  }

  function legend() {
    by("legend").replaceChildren();
    for (const [shade, text] of colours.legend(...chosenColour(), drawn.map((node) => node.k))) {
      panel.make("span", "", by("legend")).style.backgroundColor = shade;
      panel.make("i", text, by("legend"));
    }
  }

  // The whole tree as a strip: the part that is drawn, and what is clamped.
  function map(w) {
    const strip = by("map"), scale = w / data.latents;
    const box = (k, y, height, kind) => {
      const rect = document.createElementNS(SVG, "rect");
      const wide = Math.max(2, data.size[k] * scale);
      for (const [key, value] of Object.entries({ x: data.first[k] * scale, y, width: wide, height, class: kind })) rect.setAttribute(key, value);
      return rect;
    };
    strip.setAttribute("viewBox", `0 0 ${w} 22`);
    const clamped = data.id.map((_, k) => k).filter((k) => Object.values(data.marked).some((of) => of[k] && of[k] === data.size[k]));
    strip.replaceChildren(box(top, 8, 6, "all"), ...clamped.map((k) => box(k, 4, 14, "clamped")), box(state.root, 1, 20, "window"));
  }
  // The smallest node of some size around a place of the strip.
  function at(event) {
    const box = by("map").getBoundingClientRect(), leaf = ((event.clientX - box.left) / box.width) * data.latents;
    return data.id.map((_, k) => k).filter((k) => data.first[k] <= leaf && leaf < data.first[k] + data.size[k] && data.size[k] >= ROOM)
      .reduce((least, k) => (data.size[k] < data.size[least] ? k : least), top);
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
  // The nodes between `k` and the root of what is drawn.
  const between = (k) => above(k).slice(0, Math.max(0, above(k).indexOf(state.root)));
  function choose(k) {
    state.chosen = k;
    const outside = k !== state.root && !above(k).includes(state.root);
    if (outside) state.root = top;
    const hidden = between(k).filter(folded);
    for (const p of hidden) state.opened.add(p);
    if (outside || hidden.length) draw(); else mark();
    panel.describe(k);
  }
  // Look inside `k`; where that is more than fits, its largest parts are unfolded.
  function zoom(k, then = k) {
    if (!children[k].length) return;
    if (state.cut !== FITS) unfold(k);
    state.root = k;
    state.chosen = then;
    for (const p of between(then).filter(folded)) state.opened.add(p);
    draw();
    panel.describe(then);
  }
  // The largest branch around `k` that is read at a glance; where a spine leaps over that, the next larger one.
  const around = (k) => above(k).filter((p) => data.size[p] <= 3 * ROOM && data.size[p] > data.size[k]).pop() ??
    above(k).find((p) => data.size[p] >= ROOM) ?? top;
  const up = () => { if (state.root !== top) zoom(data.parent[state.root], state.root); };
  const beside = (k, step) => {
    const all = children[data.parent[k]] ?? [k];
    return all[(all.indexOf(k) + step + all.length) % all.length];
  };
  function fold() {
    const k = state.chosen;
    if (folded(k)) unfold(k); else { state.opened.delete(k); state.closed.add(k); }
    draw();
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
    if (query) panel.make("span", found.length + " nodes for “" + query + "” ", list);
    for (const [, , k] of found.slice(0, 12)) panel.link(list, name(k) + ": " + words(k).slice(0, 3).join(" "), k);
    draw();
  }

  view.addEventListener("click", (event) => { const k = nearest(event); if (k !== null) choose(k); });
  view.addEventListener("dblclick", () => zoom(state.chosen)); // which the first of the two clicks chose
  by("map").addEventListener("click", (event) => zoom(at(event)));
  const KEYS = {
    ArrowUp: () => (state.chosen === state.root ? up() : choose(data.parent[state.chosen])),
    ArrowDown: () => { if (children[state.chosen].length) choose(children[state.chosen][0]); },
    ArrowLeft: () => choose(beside(state.chosen, -1)),
    ArrowRight: () => choose(beside(state.chosen, 1)),
    Enter: () => zoom(state.chosen),
    " ": fold,
    Escape: up,
    Home: () => zoom(top),
  };
  view.addEventListener("keydown", (event) => {
    if (!KEYS[event.key]) return;
    event.preventDefault();
    KEYS[event.key]();
  });
  by("search").addEventListener("input", search);
  by("colour").addEventListener("change", draw);
  by("cut").addEventListener("change", () => {
    state.cut = Number(by("cut").value); state.opened.clear(); state.closed.clear(); draw();
  });
  const go = (k) => zoom(around(k), k);
  for (const button of document.querySelectorAll("[data-go]")) button.addEventListener("click", () => {
    go(Number(button.dataset.go));
    view.scrollIntoView({ block: "center" });
  });
  by("zoom").addEventListener("click", () => zoom(state.chosen));
  by("up").addEventListener("click", up);
  by("whole").addEventListener("click", () => zoom(top));
  by("fold").addEventListener("click", fold);
  window.addEventListener("resize", draw);
  const started = Object.values(data.start)[0];
  if (started === undefined) zoom(top); else go(started);
})();
