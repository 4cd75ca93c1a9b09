// The interactive picture of forgetting against damage: one panel a loss, all methods, the shown one with its candidates.
const tradeOff = (root) => {
  const SVG = "http://www.w3.org/2000/svg";
  const data = JSON.parse(root.querySelector("script").textContent);
  const view = root.querySelector(".trade-view"), said = root.querySelector(".trade-said");
  const select = root.querySelector("select"), boxes = [...root.querySelectorAll("input")];
  const panels = data.losses.slice(0, 2); // siblings and others; what general facts lose is said in words
  let shown = Math.max(0, data.methods.findIndex((m) => m.name === data.shown));
  let placed = [], wide = 0;

  const svg = (tag, attributes, parent, text) => {
    const element = document.createElementNS(SVG, tag);
    for (const key in attributes) element.setAttribute(key, attributes[key]);
    if (text !== undefined) element.textContent = text;
    parent.append(element);
    return element;
  };
  const html = (tag, text, parent) => {
    const element = document.createElement(tag);
    element.textContent = text;
    parent.append(element);
    return element;
  };
  const called = (m) => (m.kind === "reference" ? "before any edit" : m.name);
  const asked = () => Number(select.value);
  const kinds = () => new Set(boxes.filter((box) => box.checked).map((box) => box.value));
  const drawable = (m, loss) => kinds().has(m.kind) && m.asked[asked()] && m.lost[loss];
  const visible = () => data.methods.map((m, i) => i).filter((i) => panels.some((_, loss) => drawable(data.methods[i], loss)));
  // Round steps of an axis up to `most`.
  const ticks = (most) => {
    const step = [1, 2, 5, 10, 20, 25, 50].find((s) => most / s <= 6) || 100;
    return Array.from({ length: Math.floor(most / step) + 1 }, (_, i) => i * step);
  };

  function draw() {
    wide = view.clientWidth;
    const w = wide || 700, beside = w >= 640;
    const gap = 54, left = 46, right = 14, top = 26, bottom = 44;
    const pw = beside ? (w - left - right - gap * (panels.length - 1)) / panels.length : w - left - right;
    const ph = beside ? 380 : 250;
    const h = beside ? ph + top + bottom : (ph + top + bottom) * panels.length;
    view.replaceChildren();
    view.setAttribute("viewBox", `0 0 ${w} ${h}`);
    view.style.height = h + "px";
    placed = [];
    panels.forEach((words, loss) => {
      const x0 = left + (beside ? loss * (pw + gap) : 0), y0 = top + (beside ? 0 : loss * (ph + top + bottom));
      panel(words, loss, x0, y0, pw, ph);
    });
  }

  function panel(words, loss, x0, y0, pw, ph) {
    const points = data.methods.filter((m) => drawable(m, loss));
    const most = 1.06 * Math.max(5, ...points.map((m) => m.lost[loss][0] + m.lost[loss][1]));
    const least = Math.min(0, ...points.map((m) => Math.max(-3, m.lost[loss][0] - m.lost[loss][1])));
    const px = (value) => x0 + (Math.max(-2, Math.min(102, value)) + 2) / 104 * pw;
    const py = (value) => y0 + ph - (Math.max(least, Math.min(most, value)) - least) / (most - least) * ph;
    const group = svg("g", {}, view);
    svg("text", { x: x0, y: y0 - 10, class: "axis-title" }, group, words);
    for (const tick of ticks(most)) {
      svg("line", { x1: x0, x2: x0 + pw, y1: py(tick), y2: py(tick), class: "grid" }, group);
      svg("text", { x: x0 - 7, y: py(tick) + 4, "text-anchor": "end" }, group, tick);
    }
    for (const tick of [0, 25, 50, 75, 100]) svg("text", { x: px(tick), y: y0 + ph + 18, "text-anchor": "middle" }, group, tick);
    svg("text", { x: x0 + pw / 2, y: y0 + ph + 36, "text-anchor": "middle" }, group, data.asked[asked()]);
    if (asked() === 0) {
      svg("line", { x1: px(data.chance), x2: px(data.chance), y1: y0, y2: y0 + ph, class: "chance" }, group);
      svg("text", { x: px(data.chance) + 5, y: y0 + 12 }, group, "chance");
    }
    const current = data.methods[shown];
    if (current && kinds().has(current.kind)) tried(current, loss, px, py, most, group);
    const labels = [];
    const order = points.filter((m) => m !== current).concat(points.filter((m) => m === current));
    for (const m of order) mark(m, loss, px, py, group);
    const named = points.filter((m) => m === current).concat(points.filter((m) => m !== current && (m.role || m.kind === "reference")));
    for (const m of named) name(m, loss, px, py, group, labels, x0 + pw);
  }

  // What dev tried of the shown method, inside the frame.
  function tried(m, loss, px, py, most, group) {
    for (const row of m.tried) {
      const lost = row[data.asked.length + loss];
      if (lost === null || lost > most) continue;
      svg("circle", { cx: px(row[asked()]), cy: py(lost), r: 2.6, class: "tried k-" + m.kind }, group);
    }
  }

  function mark(m, loss, px, py, group) {
    const i = data.methods.indexOf(m), [x, dx] = m.asked[asked()], [y, dy] = m.lost[loss];
    const strong = i === shown ? " strong" : "";
    const point = svg("g", { class: "mark" + strong, "data-method": m.name, "data-loss": loss }, group);
    svg("path", { d: `M${px(x - dx)} ${py(y)}H${px(x + dx)}M${px(x)} ${py(y - dy)}V${py(y + dy)}`, class: "bar k-" + m.kind }, point);
    svg("path", { d: data.marks[m.kind], class: "point k-" + m.kind, transform: `translate(${px(x)} ${py(y)}) scale(${strong ? 1.5 : 1})` }, point);
    placed.push({ i, x: px(x), y: py(y) });
  }

  // The name at the first of four places where no other name is.
  function name(m, loss, px, py, group, labels, right) {
    const at = px(m.asked[asked()][0]), y = py(m.lost[loss][0]), wide = 7.2 * called(m).length;
    const places = [[11, 4], [11, -12], [11, 20], [-11 - wide, 4], [-11 - wide, -12], [11, -28], [11, 36], [-11 - wide, 20]];
    const free = places.map(([dx, dy]) => [at + dx, y + dy]).find(([x0, y0]) => x0 + wide < right + 10 && x0 > 40 &&
      labels.every(([x1, y1, w1]) => x0 > x1 + w1 || x0 + wide < x1 || Math.abs(y0 - y1) > 13));
    if (!free) return;
    labels.push([...free, wide]);
    svg("text", { x: free[0], y: free[1], class: "name" + (data.methods[shown] === m ? " strong" : "") }, group, called(m));
  }

  function describe() {
    said.replaceChildren();
    const m = data.methods[shown];
    if (!m) return;
    const head = html("p", "", said);
    html("b", called(m), head);
    head.append(`: ${m.what}. Kind: ${data.kinds[m.kind]}${m.role ? "; " + m.role : ""}.`);
    if (m.setting) html("p", "Setting chosen on dev: " + m.setting + ".", said);
    const list = html("ul", "", said);
    const written = ([mean, half], digits) => `${mean.toFixed(digits)} ± ${half.toFixed(digits)}`;
    data.asked.forEach((words, i) => { if (m.asked[i]) html("li", `${words}: ${written(m.asked[i], 0)}`, list); });
    data.losses.forEach((words, i) => { if (m.lost[i]) html("li", `${words}: ${written(m.lost[i], 1)}`, list); });
  }

  function show(i) {
    if (i === undefined || i === shown) return;
    shown = i;
    draw();
    describe();
  }
  function nearest(event) {
    const box = view.getBoundingClientRect(), x = event.clientX - box.left, y = event.clientY - box.top;
    const far = (p) => Math.hypot(p.x - x, p.y - y);
    const best = placed.reduce((least, p) => (!least || far(p) < far(least) ? p : least), null);
    return best && far(best) < 40 ? best.i : undefined;
  }
  view.addEventListener("pointermove", (event) => show(nearest(event)));
  view.addEventListener("pointerdown", (event) => show(nearest(event)));
  view.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const all = visible();
    show(all[(all.indexOf(shown) + step + all.length) % all.length]);
  });
  for (const control of [select, ...boxes]) control.addEventListener("change", draw);
  new ResizeObserver(() => { if (view.clientWidth !== wide) draw(); }).observe(root); // also when a fold opens
  draw();
  describe();
};
document.querySelectorAll(".trade").forEach(tradeOff);
