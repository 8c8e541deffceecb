// The page of a synthetic world: MapLibre shows the tiles, the address (after #) says which world and where.
const $ = (id) => document.getElementById(id);
const EQUATOR_M = 2 * Math.PI * 6378137;

/** Which world: prompt, seed and repainted boxes [west, south, east, north, prompt]. */
const state = { prompt: "", seed: 0, areas: [] };
let about, map, box = null, drawing = false;

const query = (more = {}) => {
  const said = new URLSearchParams({ prompt: state.prompt, seed: state.seed });
  if (about.fixed) { said.delete("prompt"); said.delete("seed"); }
  for (const area of state.areas) said.append("area", area.join(","));
  for (const [name, value] of Object.entries(more)) said.set(name, value);
  return said.toString();
};
const levelOf = (zoom) => Math.min(about.maxzoom, Math.max(about.minzoom, Math.round(zoom + 1)));
const say = (text) => { $("said").textContent = text; };
const complain = (text) => { $("message").textContent = text; $("message").hidden = !text; };

// Tiles: counted, and asked for again where the server has too much to do.
const tally = { asked: 0, come: 0, waits: new Set() };

function countTile(step) {
  tally.asked += step.asked ?? 0;
  tally.come += step.come ?? 0;
  const missing = tally.asked - tally.come;
  $("progress").hidden = missing === 0;
  $("progress").querySelector("progress").max = Math.max(1, tally.asked);
  $("progress").querySelector("progress").value = tally.come;
  const queued = tally.waits.size ? ", the server is busy" : "";
  $("count").textContent = `${tally.come} of ${tally.asked} tiles${queued}`;
  if (missing === 0) {
    if (tally.asked) say(`All ${tally.asked} tiles are painted.`);
    tally.asked = tally.come = 0;
  }
}

const pause = (seconds, signal) => new Promise((done, fail) => {
  const timer = setTimeout(done, seconds * 1000);
  signal.addEventListener("abort", () => { clearTimeout(timer); fail(new DOMException("left", "AbortError")); });
});

async function loadTile(request, controller) {
  const address = request.url.replace(/^world:\/\//, "");
  const mark = {};
  countTile({ asked: 1 });
  try {
    for (;;) {
      const answer = await fetch(new URL(address, document.baseURI), { signal: controller.signal });
      if (answer.ok) return { data: await answer.arrayBuffer() };
      if (answer.status !== 429 && answer.status !== 503) throw new Error((await answer.json()).error);
      tally.waits.add(mark);
      countTile({});
      await pause(Number(answer.headers.get("Retry-After") ?? 2) * (0.5 + Math.random()), controller.signal);
    }
  } catch (error) {
    if (error.name !== "AbortError") complain(error.message);
    throw error;
  } finally {
    tally.waits.delete(mark);
    countTile({ come: 1 });
  }
}

// The world that is shown.
const tileAddress = (version) => `world://tiles/{z}/{x}/{y}.png?${query({ v: version })}`;

async function showWorld() {
  complain("");
  const answer = await fetch(`tilejson.json?${query()}`);
  const told = await answer.json();
  if (!answer.ok) return complain(told.error);
  map.getSource("world").setTiles([tileAddress(told.world)]);
  fillForm();
  listAreas();
  remember();
}

function fillForm() {
  $("prompt").value = state.prompt;
  $("seed").value = state.seed;
  $("tilejson").href = `tilejson.json?${query()}`;
  $("wmts").href = `WMTSCapabilities.xml?${query()}`;
}

function listAreas() {
  $("areas").replaceChildren(...state.areas.map((area, number) => {
    const item = document.createElement("li"), text = document.createElement("span");
    const button = document.createElement("button");
    text.textContent = area[4];
    button.type = "button";
    button.textContent = "Undo";
    button.setAttribute("aria-label", `Undo the box “${area[4]}”`);
    button.addEventListener("click", () => { state.areas.splice(number, 1); showWorld(); });
    item.append(text, button);
    return item;
  }));
  map.getSource("areas").setData({
    type: "FeatureCollection",
    features: state.areas.map((area) => outline(area)),
  });
}

function outline([west, south, east, north]) {
  if (east < west) east += 360;
  const ring = [[west, south], [east, south], [east, north], [west, north], [west, south]];
  return { type: "Feature", properties: {}, geometry: { type: "LineString", coordinates: ring } };
}

// The address.
function remember() {
  const { lng, lat } = map.getCenter();
  const view = { lon: lng.toFixed(6), lat: lat.toFixed(6), zoom: map.getZoom().toFixed(2) };
  history.replaceState(null, "", `#${query(view)}`);
}

function recall() {
  const said = new URLSearchParams(location.hash.slice(1));
  state.prompt = about.fixed ? about.prompt : said.get("prompt") ?? about.prompt;
  state.seed = about.fixed ? about.seed : Number(said.get("seed") ?? about.seed);
  state.areas = about.fixed ? [] : said.getAll("area").map((text) => {
    const [west, south, east, north, ...prompt] = text.split(",");
    return [Number(west), Number(south), Number(east), Number(north), prompt.join(",")];
  });
  const number = (name, otherwise) => (Number.isFinite(parseFloat(said.get(name))) ? parseFloat(said.get(name)) : otherwise);
  return { center: [number("lon", 8), number("lat", 47)], zoom: number("zoom", about.minzoom) };
}

// Levels.
function listLevels() {
  for (let level = about.minzoom; level <= about.maxzoom; level += 1) {
    const metres = EQUATOR_M / (256 * 2 ** level);
    const size = metres >= 1000 ? `${(metres / 1000).toPrecision(2)} km` : `${Number(metres.toPrecision(2))} m`;
    $("level").add(new Option(`${level} – ${size} a pixel`, level));
  }
}

function showLevel() {
  $("level").value = levelOf(map.getZoom());
  const finest = levelOf(map.getZoom()) === about.maxzoom, coarsest = levelOf(map.getZoom()) === about.minzoom;
  $("end").hidden = !finest && !coarsest;
  $("end").textContent = finest
    ? `Level ${about.maxzoom} is the finest that this model paints.`
    : `Level ${about.minzoom} is the coarsest that this model paints.`;
}

// The box.
const wrapped = (lon) => ((((lon + 180) % 360) + 360) % 360) - 180;

function boxOf(a, b) {
  const [west, east] = [Math.min(a.lng, b.lng), Math.max(a.lng, b.lng)];
  const limit = (lat) => Math.min(85.051, Math.max(-85.051, lat));
  const across = east - west >= 360 ? [-180, 180] : [wrapped(west), wrapped(east)];
  const [south, north] = [limit(Math.min(a.lat, b.lat)), limit(Math.max(a.lat, b.lat))];
  return [across[0], south, across[1], north].map((degrees) => Number(degrees.toFixed(7)));
}

function setBox(found) {
  box = found;
  map.getSource("box").setData({ type: "FeatureCollection", features: box ? [outline(box)] : [] });
  $("clear").disabled = !box;
  $("repaint").querySelector("button").disabled = !box;
  $("what").textContent = box ? "the box" : "the view";
  $("corners").textContent = box
    ? `West ${box[0].toFixed(4)}, south ${box[1].toFixed(4)}, east ${box[2].toFixed(4)}, north ${box[3].toFixed(4)}`
    : "No box: the view is downloaded.";
}

function setDrawing(on) {
  drawing = on;
  $("glass").hidden = !on;
  $("draw").setAttribute("aria-pressed", String(on));
  if (on) say("Drag over the map to draw a box; Escape leaves it.");
}

function listenToGlass() {
  let from = null;
  const place = (event) => {
    const frame = $("map").getBoundingClientRect();
    return map.unproject([event.clientX - frame.left, event.clientY - frame.top]);
  };
  $("glass").addEventListener("pointerdown", (event) => {
    from = place(event);
    $("glass").setPointerCapture(event.pointerId);
  });
  $("glass").addEventListener("pointermove", (event) => { if (from) setBox(boxOf(from, place(event))); });
  $("glass").addEventListener("pointercancel", () => { from = null; });
  $("glass").addEventListener("pointerup", (event) => {
    const found = from && boxOf(from, place(event));
    from = null;
    setBox(found && found[0] !== found[2] && found[1] < found[3] ? found : null);
    setDrawing(false);
  });
  addEventListener("keydown", (event) => { if (event.key === "Escape" && drawing) setDrawing(false); });
}

function middleOfView() {
  const { width, height } = $("map").getBoundingClientRect();
  setBox(boxOf(map.unproject([width * 0.35, height * 0.35]), map.unproject([width * 0.65, height * 0.65])));
}

// Downloads.
async function download(format, button) {
  const view = map.getBounds();
  const wanted = box ?? boxOf(view.getSouthWest(), view.getNorthEast());
  const level = levelOf(map.getZoom());
  button.disabled = true;
  say("The picture is being painted.");
  complain("");
  try {
    const answer = await fetch(`image?${query({ bbox: wanted.join(","), level, format })}`);
    if (!answer.ok) throw new Error((await answer.json()).error);
    const link = document.createElement("a");
    link.href = URL.createObjectURL(await answer.blob());
    link.download = /filename="(.+)"/.exec(answer.headers.get("Content-Disposition"))[1];
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
    say(`${link.download} is downloaded.`);
  } catch (error) {
    complain(error.message);
  } finally {
    button.disabled = false;
  }
}

// Wiring.
function listen() {
  $("world").addEventListener("submit", (event) => {
    event.preventDefault();
    Object.assign(state, { prompt: $("prompt").value.trim(), seed: Number($("seed").value) });
    showWorld();
  });
  $("dice").addEventListener("click", () => {
    state.seed = Math.floor(Math.random() * 1e6);
    state.prompt = $("prompt").value.trim();
    showWorld();
  });
  $("level").addEventListener("change", () => map.easeTo({ zoom: Number($("level").value) - 1 }));
  $("draw").addEventListener("click", () => setDrawing(!drawing));
  $("middle").addEventListener("click", middleOfView);
  $("clear").addEventListener("click", () => setBox(null));
  $("repaint").addEventListener("submit", (event) => {
    event.preventDefault();
    if (!box) return;
    state.areas.push([...box, $("here").value.trim()]);
    $("here").value = "";
    setBox(null);
    showWorld();
  });
  for (const button of document.querySelectorAll(".get")) {
    button.addEventListener("click", () => download(button.dataset.format, button));
  }
  map.on("moveend", remember);
  map.on("zoom", showLevel);
  listenToGlass();
}

function styleOfMap() {
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const lines = (id, source, dash) => ({
    id, source, type: "line",
    paint: { "line-color": "#ffffff", "line-width": 2, ...(dash ? { "line-dasharray": [3, 2] } : {}) },
  });
  const under = (id, source) => ({ id, source, type: "line", paint: { "line-color": "#101418", "line-width": 5 } });
  const empty = { type: "geojson", data: { type: "FeatureCollection", features: [] } };
  return {
    version: 8,
    sources: {
      world: {
        type: "raster", tiles: [tileAddress(about.world)], tileSize: 256, minzoom: about.minzoom,
        maxzoom: about.maxzoom, attribution: "Synthetic imagery: shows no real place",
      },
      areas: empty, box: empty,
    },
    layers: [
      { id: "ground", type: "background", paint: { "background-color": dark ? "#2a3037" : "#d9dee3" } },
      { id: "world", type: "raster", source: "world", paint: { "raster-fade-duration": 150 } },
      under("areas-under", "areas"), lines("areas", "areas", true), under("box-under", "box"), lines("box", "box"),
    ],
  };
}

async function begin() {
  about = await (await fetch("health")).json();
  const view = recall();
  const world = await fetch(`tilejson.json?${query()}`);
  const told = await world.json();
  if (world.ok) about.world = told.world;
  else { complain(told.error); Object.assign(state, { prompt: about.prompt, seed: about.seed, areas: [] }); }
  fillForm();
  $("about").textContent = `Painted by ${about.model}, a generative model, at the levels ${about.minzoom} to ${about.maxzoom}.`;
  for (const id of ["world", "repaint", "draw", "middle"]) $(id).hidden = about.fixed && !["draw", "middle"].includes(id);
  if (typeof maplibregl === "undefined") {
    return complain("The map needs the package maplibre: pip install 'git10m[serve]', and start the server again.");
  }
  if (matchMedia("(max-width: 600px)").matches) $("panel").open = false;
  maplibregl.addProtocol("world", loadTile);
  map = new maplibregl.Map({
    container: "map", style: styleOfMap(), ...view, minZoom: Math.max(0, about.minzoom - 1), maxZoom: about.maxzoom + 1,
    attributionControl: { compact: false }, dragRotate: false, pitchWithRotate: false, touchPitch: false,
    locale: { "Map.Title": "Map of a synthetic world" },
  });
  map.touchZoomRotate.disableRotation();
  map.addControl(new maplibregl.NavigationControl({ showCompass: false }), "top-right");
  map.addControl(new maplibregl.ScaleControl(), "bottom-right");
  listLevels();
  listen();
  showLevel();
  map.once("style.load", listAreas);
  addEventListener("hashchange", () => { map.jumpTo(recall()); showWorld(); });
  globalThis.synthetic = { map, state, tally };  // for whoever wants to look from the console
}

begin().catch((error) => complain(String(error.message ?? error)));
