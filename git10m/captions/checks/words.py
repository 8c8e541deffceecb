"""The words of every concept; plurals are formed from them, hyphens and spaces are the same.

``TERMS`` claim that a thing is there, ``WITHOUT`` that it is not, ``FIGURATIVE`` nothing: words of the vocabulary in
another sense ("sea of houses", "field of view", "blue roof" stays a roof, "snow-white" is no snow).
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["FIGURATIVE", "TERMS", "WITHOUT"]

TERMS: Mapping[str, str] = {
    "water": """
        water|body of water|bodies of water|water body|water bodies|waterbody|waterbodies|waters|water surface|aquatic
        waterside|waterfront|water's edge|shallows|open water|inundated|flooding|flood waters|floodwater
        aquaculture|fish farm|lagoon|turquoise shallows|underwater|submerged|water feature""",
    "waterside": """
        rapids|whitewater|waterfall|riffle|shore|shoreline|bay|cove|inlet|archipelago|peninsula
        delta|confluence|embayment|headland|isthmus|strait|wave|surf|swimmer|swimming|fountain""",
    "island": "island|islet|isle",
    "sea": """
        sea|ocean|oceanic|oceanfront|seaside|seashore|seafront|coast|coastal|coastline|coastwards|gulf|fjord|estuary
        estuarine|tidal|offshore|marine|maritime|reef|coral reef|atoll|surf zone|sea water|seawater|saltwater|littoral
        intertidal|breakers|breaking waves|tideway|nearshore|sea surface""",
    "beach": "beach|beachfront|sandy shore|sandy coast|seashore sand|foreshore|beach sand|beachgoer",
    "river": """
        river|riverine|riverbank|riverside|riverfront|river bank|river channel|tributary|tributaries|oxbow|meander
        meandering channel|river bend|river valley|riparian|fluvial|watercourse|water course|braided channel
        riverscape|sandbar|sand bar|floodwaters of the river|both banks|opposite bank|river delta""",
    "stream": "stream|creek|brook|rivulet|streamlet|streamside|creekside|beck",
    "canal": "canal|waterway lock|aqueduct channel|shipping channel|navigation channel",
    "ditch": "ditch|irrigation canal|irrigation channel|drainage channel|drainage canal|irrigation ditch|drain",
    "waterway": "waterway",
    "lake": """
        lake|lakeside|lakeshore|lakefront|reservoir|loch|tarn|lacustrine|impoundment|water reservoir|lake shore|laguna
        crater lake""",
    "pond": "pond|pool|fishpond|waterhole|water hole|watering hole|duck pond|farm pond|fish pond",
    "basin": """
        retention basin|detention basin|settling basin|settling pond|sedimentation tank|clarifier|sewage lagoon
        circular basin|round basin|rectangular basin|concrete basin|treatment basin|water basin|storage basin
        storage pond|infiltration basin
    """,
    "salt pond": "salt pond|salt pan|salt works|saltworks|evaporation pond|salt evaporation pond|saltern|salina",
    "pool": "swimming pool|outdoor pool|garden pool|backyard pool|lido",
    "harbour": """
        harbor|harbour|seaport|shipyard|port
        port facility|container port|container terminal|ferry terminal|anchorage|harbourside|slipway|boatyard
    """,
    "marina": "marina|yacht harbour|yacht harbor",
    "dock": "dock|docks|wharf|wharves|quay|quayside|quays|dockyard|dockside",
    "pier": "pier|jetty|jetties|boat ramp|landing stage|pontoon",
    "breakwater": "breakwater|groyne|mole",
    "boat": """
        boat|ship|yacht|sailboat|sailing boat|ferry|ferries|barge|vessel|cargo ship|container ship|fishing boat|moored
        mooring|moorings|anchored|berth|docked|motorboat|speedboat|canoe|kayak|catamaran|tanker ship|cruise ship
        watercraft|freighter|trawler|rowboat""",
    "dam": "dam|weir|spillway|hydroelectric plant|hydroelectric dam|hydropower plant|lock gate|barrage|embankment dam",
    "forest": """
        forest|forested|woodland|woods|wooded|woodlot|jungle|rainforest|rain forest|tree cover|tree canopy
        forest canopy|canopy|taiga|boreal|conifer|coniferous|coniferous trees|deciduous|broadleaf|broad leaved forest
        pine|spruce|fir|fir tree|birch|beech|eucalyptus|eucalypt|larch|evergreen forest|pine tree|pinewood|timberland
        afforested|tree covered|timber covered|timbered|tree clad|treed hills|sylvan|silviculture|tree plantation
        thicket|backwoods|forestry|treed slope|dense trees|densely treed|treetop|pine plantation
        conifer plantation|coniferous plantation|forest plantation
        timber plantation|spruce plantation|eucalyptus plantation|plantation forest|understory|forest floor|clearcut
        clear cut|logging|cloud forest""",
    "tree": """
        tree|treed|tree lined|hedgerow|shade tree|palm|palm tree|tree line|treeline|grove|copse|copses|tree row
        windbreak|shelterbelt|street tree|leafy|arboretum|oak|oak tree|spinney""",
    "crops": """
        cropland|crop land|crops|arable|arable land|cultivated|cultivation|wheat|corn|maize|barley|soybean|soya
        rapeseed|canola|sugarcane|sugar cane|cotton field|ploughed|plowed|harvested|furrow|furrowed|crop field
        crop circle|center pivot|centre pivot|pivot irrigation|irrigated|paddy|paddies|rice paddy|rice paddies
        rice field|rice|tilled|row crop|sunflower field|potato field|stubble|crop row|cropped land|crop cover|sown
        terraced field|rice terrace|tillage|wheat field|cornfield|vegetable plot|market garden|tea plantation
        plantation|combine|harvester|agricultural crop|crop plot|cash crop|grain field|growing crop""",
    "orchard": """
        orchard|olive grove|olive tree|fruit tree|citrus grove|citrus|palm plantation|oil palm|banana plantation
        coffee plantation|almond grove|berry plantation|olive groves""",
    "vineyard": "vineyard|vine|viticulture|grapevine",
    "farmland": """
        farmland|farm land|agricultural|agriculture|farming|agrarian|croft|ranch|ranchland|agricultural land
        agricultural field|farm field|farmed|agro pastoral|fallow|arable fields""",
    "field": "field|plot of land|patchwork of fields",
    "grassland": """
        grassland|grass land|meadow|meadowland|prairie|steppe|pampas|grass plain|grassy plain|sward|veld|hay meadow
        alpine meadow|grassed plain|downland""",
    "pasture": """
        pasture|pastureland|pasture land|grazing land|grazing|grazed|rangeland|hayfield|hay field|paddock|cattle""",
    "savanna": "savanna|savannah|cerrado",
    "grass": """
        grass|grassy|lawn|turf|green space|greenspace|grass verge|sod|grass covered|herbaceous|mown|mowed|green turf""",
    "shrubland": """
        shrub covered|shrub cover|shrubland|shrub land|scrubland|scrub land|brushland|bushland|chaparral|maquis|fynbos
        sagebrush|garrigue|scrub""",
    "heath": "heath|heathland|moorland|moor|heather|gorse",
    "bush": "bush|shrub|shrubby|brush|shrubbery|hedge|mesquite|cactus|cacti",
    "vegetation": """
        vegetation|vegetated|greenery|foliage|plants|green plants|verdant|undergrowth|flora|plant life|green cover
        leafage|overgrown|weeds""",
    "wetland": """
        wetland|wet land|marsh|marshland|swamp|swampy|swampland|bog|boggy|fen|peatland|peat bog|peat|mire|salt marsh
        saltmarsh|reed bed|reedbed|bayou|marshy|quagmire|everglade|wet meadow|waterlogged""",
    "mangrove": "mangrove|mangrove forest|mangrove swamp|mangal",
    "mudflat": "mudflat|mud flat|tidal flat|tideland|intertidal flat",
    "moss": "moss|lichen|mossy",
    "tundra": "tundra|permafrost",
    "desert": "desert|dune|sand dune|dune field|erg|sahara|deserted dunes|sand sea|desertic|desert like|barchan",
    "arid": "arid|semi arid|semiarid|parched|badlands|desolate ground|wasteland|desiccated",
    "bare land": """
        bare land|barren|barren land|barren ground|bare rock|bare surface|unvegetated|denuded|barren terrain
        barren landscape|bare terrain|bare area|barren hills|bare mountain|bare hill|bare slope|barren mountain
        barren slope
        bare mountainside|bare hillside|bare land surface""",
    "soil": """
        soil|bare soil|bare ground|bare earth|exposed soil|exposed earth|dirt|mud|muddy|clay|loess|bare patch
        earth mound""",
    "sand": "sand|sandy|white sand|gravel|pebble|shingle|sands",
    "rock": """
        rock|rocky|cliff|boulder|outcrop|rock outcrop|lava|lava flow|volcanic|bedrock|canyon|gorge|craggy|crag|scree
        escarpment|ravine|talus|stony|moraine|basalt|limestone pavement|granite""",
    "snow": """
        snow|snowy|snow covered|snow capped|snowfield|snow field|snowpack|snowbound|snow clad|snowcap|snowdrift
        snowfall|snow cover|snowcapped|blanketed in white snow|ski slope|ski run|ski piste|avalanche""",
    "ice": "ice|icy|iceberg|ice floe|sea ice",
    "glacier": """
        glacier|glacial ice|glacial tongue|glaciated|ice sheet|ice cap|icefield|ice field|crevasse|ice shelf""",
    "settlement": """
        city|cities|town|village|urban|urbanized|urbanised|urban area|suburb|suburban|suburbia|metropolis|metropolitan
        downtown|settlement|township|built up|built up area|built up land|built environment|built area|city block
        city center|city centre|townscape|cityscape|hamlet|urban fabric|urban sprawl|sprawl|conurbation|skyscraper
        high rise|highrise|high rises|tower block|high rise building|tall building|dense buildings|densely built
        densely built up|rows of buildings|clusters of buildings|cluster of buildings|urban development|inhabited
        densely populated|populated area|populated|impervious surface|business district|commercial district|slum
        shanty town|shantytown|favela|informal settlement|street grid|grid of streets|city street|urban street
        urban core|megacity|borough""",
    "residential": """
        residential|residential area|neighbourhood|neighborhood|housing|housing estate|subdivision
        residential building|residential block|housing development
        rows of houses|row of houses|row houses|terraced houses|dense houses|densely packed houses|clusters of houses
        cluster of houses|mobile home park|trailer park|residential district|residential street|cul de sac
        gated community|housing tract|tract housing|residences|many houses|lots of houses|homesteads""",
    "apartment": """
        apartment block|apartment building|apartment complex|apartment|condominium|apartment house|block of flats
        blocks of flats|tower of flats""",
    "building": """
        building|tower|roof|rooftop|roofed|structure|chimney|hut|shed|garage|barracks|compound|pavilion|tent|office
        brick building|edifice|facility|high building|built structure|construction of buildings|outbuilding
        man made structure|shack|bunker complex|government building|fire station|police station|courthouse|town hall
        museum|library|theatre""",
    "house": """
        house|home|villa|cabin|cottage|dwelling|bungalow|mansion|residence|mobile home|homestead|chalet
        single family home|detached house|duplex|townhouse|lodge|household""",
    "farm": "farm|farmyard|farmstead|poultry farm|dairy farm",
    "barn": "farmhouse|barn|farm building|stable|cowshed|grange|farm shed",
    "industry": """
        industrial|industry|industries|refinery|oil refinery
        industrial zone|industrial estate|manufacturing|smelter|foundry|sawmill
        industrial complex|chemical plant|cement plant|steel mill|mill complex|smokestack
        brickworks|industrialised|industrialized|industrial park|industrial facility
        industrial facilities|business park|oil well|well pad|pumpjack|container yard""",
    "factory": "factory|factories|industrial building|manufacturing plant|workshop|industrial hall|production hall",
    "warehouse": "warehouse|logistics center|logistics centre|distribution center|distribution centre|storage hall",
    "power plant": """
        power plant|power station|nuclear plant|nuclear power plant|coal plant|thermal power station
        thermal power plant|coal fired plant|gas fired plant""",
    "commerce": """
        office building|office block|hotel|commercial|commercial building
        commercial area|retail|restaurant|big box|car dealership|business center|resort|motel|office tower""",
    "shopping": """
        shopping mall|mall|shopping center|shopping centre|supermarket|retail park|marketplace|hypermarket
        shopping complex""",
    "petrol": "gas station|petrol station|filling station|service station|fuel station",
    "school": """
        school|kindergarten|school building|academy|educational institution|schoolyard|school ground|school complex""",
    "university": "university|campus|college|university campus|campuses",
    "hospital": "hospital|clinic|medical center|medical centre|hospital complex|hospital building",
    "prison": "prison|jail|penitentiary|correctional facility|correctional centre|correctional center",
    "worship": "place of worship|shrine|minaret|religious building",
    "church": "church|cathedral|chapel|monastery|steeple|abbey|basilica|church tower",
    "mosque": "mosque",
    "temple": "temple|pagoda",
    "synagogue": "synagogue",
    "greenhouse": "greenhouse|glasshouse|polytunnel|hothouse|plastic tunnel|plastic covered tunnel|poly tunnel",
    "castle": "castle|fortress|palace|citadel|ruins",
    "road": """
        road|roadway|roadside|carriageway|thoroughfare|dirt road|paved road|gravel road|access road
        asphalt road|road network|two lane road|lane road|roadbed|cars driving|traffic
        tarred road|bus station|unpaved road|winding road|toll booth|toll plaza""",
    "main road": "main road|major road|arterial|arterial road|main street|through road|main thoroughfare",
    "highway": """
        highway|dual carriageway|ring road|beltway|bypass|multi lane|multilane|divided highway|slip road|on ramp
        off ramp
        trunk road|primary road|four lane|six lane|four lane road|six lane road|state highway""",
    "motorway": "motorway|freeway|expressway|interstate|turnpike|autobahn|autoroute|autostrada|eight lane",
    "by-road": "country road|rural road|byroad|minor road|local road|back road|country lane",
    "street": """
        street|lane|alley|driveway|avenue|boulevard|sidewalk|promenade|crosswalk|cobbled|laneway
        residential road
    """,
    "paved": "pavement|paved|asphalt|asphalted|tarmac",
    "intersection": """
        intersection|crossroads|crossroad|road junction|junction|t junction|road crossing|street corner""",
    "roundabout": "roundabout|traffic circle|rotary junction",
    "interchange": """
        interchange|cloverleaf|spaghetti junction|highway interchange|motorway junction|motorway interchange
    """,
    "track": """
        dirt track|unpaved track|farm track|forest track|gravel track|vehicle track|cart track|access track
        sandy track|earth track|mud track
    """,
    "path": "trail|walkway|cycle path|bike path|pathway|bike lane|path|walking path|cycleway|footway|track",
    "footpath": "footpath|hiking trail|walking trail|hiking path",
    "overpass": "overpass|viaduct|flyover|elevated highway|elevated road|underpass",
    "bridge": "bridge|footbridge|aqueduct|crossing bridge|bridge deck|suspension bridge|railway bridge|road bridge",
    "railway": """
        railway|railroad|rail line|rail track|railway line|train track|railway track|train|railyard
        rail yard|marshalling yard|locomotive|rails|rail|rail corridor|freight train""",
    "station": "train station|railway station|metro station|rail station|railroad station",
    "tram": "tram|tramway|tram line|tram track|streetcar|light rail|tramline",
    "tunnel": "tunnel|tunnel opening|tunnel portal",
    "airport": """
        airport|airfield|airstrip|aerodrome|air base|airbase|air strip
    """,
    "runway": "runway|landing strip",
    "taxiway": "taxiway",
    "apron": "apron|airport apron|apron of the airport|tarmac apron",
    "terminal": "terminal|terminal building|airport terminal|air terminal|passenger terminal",
    "hangar": "hangar",
    "aircraft": """
        airplane|aeroplane|aircraft|plane|jet|airliner|air plane|passenger jet|fighter jet|helicopter|jetliner|biplane
    """,
    "helipad": "helipad|heliport|helicopter pad|landing pad",
    "parking": """
        parking lot|car park|parking area|parking space|parking garage|parking|parking spot|parking bay|carpark""",
    "stadium": "stadium|arena|grandstand|stadia|bleachers|amphitheatre|amphitheater|coliseum",
    "racetrack": "racetrack|race track|racecourse|speedway|velodrome|race course|horse track|hippodrome|racing circuit",
    "pitch": """
        sports field|sport field|sports pitch|playing field|pitch|volleyball court
        sports court|sports ground|cricket ground|cricket field|rugby|sport court
        sports facility|sports complex|athletics|hockey field|athletic field|court""",
    "baseball": "baseball diamond|baseball field|baseball|softball|ballpark|ball field|softball field",
    "football": "football field|soccer|soccer field|football pitch|football ground|football|soccer pitch",
    "tennis": "tennis court|tennis",
    "basketball": "basketball court|basketball",
    "running track": """
        running track|athletics track|athletic track|ground track field|track and field|track field|race oval""",
    "ice rink": "ice rink|skating rink",
    "golf": "golf course|golf|fairway|putting green|sand trap|golf green|golf club|golfing",
    "park": "park|public park|city park|parkland|recreation ground|national park|nature park|botanical garden",
    "garden": "garden|gardens|allotment|allotments|backyard|yard|courtyard|public garden|front yard",
    "playground": "playground|skate park|skatepark",
    "campsite": "campsite|camp site|campground|caravan park|camping ground|camping site|holiday park",
    "cemetery": "cemetery|cemeteries|graveyard|burial ground|gravestone",
    "amusement": "amusement park|theme park|roller coaster|ferris wheel|fairground",
    "water park": "water park|waterpark|aquapark|water slide",
    "zoo": "zoo|wildlife park",
    "tank": "storage tank|oil tank|fuel tank|gas tank|tank farm|water tank|gasometer|tank|round tank|circular tank",
    "silo": "silo|grain silo|grain elevator",
    "water tower": "water tower",
    "water plant": """
        water treatment plant|sewage plant|wastewater plant|sewage works|sewage treatment plant|waterworks
        treatment plant""",
    "solar": "solar panel|solar farm|photovoltaic|solar park|solar array|solar|solar plant|solar power|solar field",
    "wind": "wind turbine|wind farm|windmill|wind park|turbine",
    "power line": """
        power line|powerline|pylon|transmission line|electricity line|utility line|high voltage line|overhead line""",
    "substation": "substation|electric substation|transformer station|switchyard",
    "tower": "lighthouse|cooling tower|radio mast|mast|antenna|watchtower|communication tower|obelisk",
    "quarry": """
        quarry|mine|open pit|open pit mine|strip mine|mining|excavation|gravel pit|sand pit|open cast mine|opencast
        mine site|mining site|mineral extraction|tailings|surface mine|gold mine|coal mine""",
    "landfill": "landfill|dump site|garbage dump|rubbish dump|waste disposal|scrapyard|junkyard",
    "construction": "construction site|building site|under construction",
    "military": "military base|military facility|army base",
    "mountain": """
        mountain|mountainous|mountain range|mountainside|alpine|peak|summit|rugged|steep|steep slope|steeply
        precipitous|alps|mountain ridge|mountain top|sierra|highlands|volcano|highland""",
    "flat": """
        flat terrain|flat land|flat landscape|level terrain|plain|flatland|flat ground|lowland|flat plain|level ground
    """,
    "cloud": "cloud|cloudy|cloud cover|cloudiness|haze|clouds|overcast|cloud shadow|fog",
}

WITHOUT: Mapping[str, str] = {
    "tree": "treeless|unforested|tree free|non forested|nonforested",
    "water": "waterless|water free|landlocked ground",
    "snow": "snowless|snow free",
    "ice": "ice free",
    "road": "roadless",
    "settlement": "uninhabited|undeveloped|unbuilt|unpopulated|unsettled|non urban|uninhabitable",
    "vegetation": "unvegetated|vegetation free|plantless|no plant|not any plant",
    "cloud": "cloudless|cloud free",
}

FIGURATIVE = """
    sea of|ocean of|seas of|oceans of|river of|rivers of|lake of|islands of|island of|forest of|forests of|desert of
    stream of|streams of|mountain of|mountains of|pool of|pools of|city of lights|islands of green|heat island
    traffic island|sea level|above sea level|sea green|sea blue|sky blue|ocean blue|forest green|grass green
    snow white|snow-white|ice blue|sand colored|sand coloured|sandy colored|sandy coloured|sandy brown|sand color
    rice paper|earth colored|earth tones|water color|watercolor|water colored|moss green|field of view|fields of view
    depth of field|field work|fieldwork|magnetic field|force field|field of|fields of|tower over|towers over|towering
    field data|visual field|oil field|gas field|coal field|snow field line|ice cream|ice hockey
    river birch|sea lion|water lily|water buffalo|desert rose|forest fire|bush fire|bushfire|wildfire|rain water tank
    glacier bed|old glacier|former glacier|glacial valley|dry river|dry riverbed|dry river bed|dry lake|dry lakebed
    dry lake bed|riverbed|river bed|lakebed|lake bed|dry creek|dry creek bed|creek bed|dry stream|dry stream bed
    stream bed|dried up lake|dried up river|dried lake|former lake|wadi|ephemeral stream|dry wash|dry canal|bay window
    loading bay|loading dock|port of entry|packing house|pump house|boat house|bath house|power house
    animal track|cattle track
    cattle trail|tyre track|tire track|bay tree|docking station|data port|port side|portside|view port
    boat shaped|ship shaped
    housing of|housing unit of the sensor|satellite dish|water main|water mains|water table|groundwater|ground water
    rainwater|wastewater|waste water|watershed|water tower tank|watermark|water vapor|water vapour|underwater cable
    drinking water|watering|mine field|minefield|mining data|tree shaped|tree structure|tree diagram|palm shaped
    palm of|park and ride|ballpark figure|national park service|in the wake of|tank top|think tank|street view|roadmap
    road map|street map|street level|building block|building blocks|building up|building of a|home to
    roof of the world|hangar shaped|plane of|image plane|focal plane|horizontal plane|in plane|ground plane|jet black
    jet stream|trail off|track record|on track|tracks of|tracking|pitch black|pitched roof|high pitch|golf ball sized
    school of fish|food court|store of|restored|retail value|town of origin|village green|city limits sign|urban heat
    urban legend|salt and pepper|rock solid|bedrock of|rock garden|sands of time|quicksand|black ice|dry ice
    cloud computing|peak season|peak hour|peak time|rail thin|train of|training|bridging|bridge the|cemetery plot plan
    waves of|wave of|wave like|wavelike|wave shaped|wavelength|ripple marks|plants plant|ring of|wood grain
    brush stroke|brush strokes|paint brush|bush shaped|clay court|clay tile|clay tiled|clay roof|mud brick|mudbrick
    sand filled|rock wall|stone wall|rock band|court of law|tower above|towers above|plain green|plain brown
    plain background|plain white|plain black|plain grey|plain gray|plain surface|in plain view|plain texture
    mountain bike|flat roof|frozen in time|frozen moment|freeze frame|swell of|structure of|structures of
    structure in the|facility of|tidal wave of|crop of|cropped|cropping|crop out|image crop|cotton white|cotton like
    wheat colored|rice colored|canopy bed|canopied|pine colored|oak colored|pineapple|fir tree shaped|island kitchen
    marine blue|navy blue|coast to coast|coast guard|coastguard|on the brink|bank of|river like|lake like|marble
    stone texture|tile texture|concrete surface|map of|map view|shop front|workshop of|garage door|industry standard
    commercial satellite|commercial imagery|commercial sensor|school bus|park bench|vessel shaped|mine shaft drawing
    lush texture|roads end|tank shaped|solar zenith|solar elevation|solar azimuth|solar angle|solar illumination
    solar noon|solar radiation|wind speed|wind direction|windswept|urban planning|drained|drainage|drainage pattern
    drainage network|light pole|tower like|high mast|brush fire|beach umbrella|flat area of|gravel bar|stubble like
"""
