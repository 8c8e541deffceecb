"""The words of every concept; plurals are formed from them, hyphens and spaces are the same.

What claims that a thing is not there, and words of the vocabulary in another sense, stand in ``senses``.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["TERMS"]

TERMS: Mapping[str, str] = {
    "water": """
        water|body of water|bodies of water|water body|water bodies|waterbody|waterbodies|waters|water surface|aquatic
        waterside|waterfront|water's edge|shallows|open water|inundated|flooding|flood waters|floodwater|aquaculture
        fish farm|lagoon|turquoise shallows|underwater|submerged|water feature|expanse of water|stretch of water
        sheet of water|surface water|surface waters|standing water""",
    "waterside": """
        rapids|whitewater|waterfall|riffle|shore|shoreline|bay|cove|inlet|archipelago|peninsula
        delta|confluence|embayment|headland|isthmus|strait|wave|surf|swimmer|swimming|fountain""",
    "island": """
        island|islet|isle|cay|skerry|skerries|river island""",
    "sea": """
        sea|ocean|oceanic|oceanfront|seaside|seashore|seafront|coast|coastal|coastline|coastwards|gulf|fjord|estuary
        estuarine|tidal|offshore|marine|maritime|reef|coral reef|atoll|surf zone|sea water|seawater|saltwater|littoral
        intertidal|breakers|breaking waves|tideway|nearshore|sea surface|seacoast|oceanside|firth|tide|low tide
        high tide|tidewater|tidal creek|sea inlet""",
    "beach": """
        beach|beachfront|sandy shore|sandy coast|seashore sand|foreshore|beach sand|beachgoer|sand beach|bathing beach
        shingle beach|gravel beach|pebble beach|beachside|sandy strand""",
    "river": """
        river|riverine|riverbank|riverside|riverfront|river bank|river channel|tributary|tributaries|oxbow|meander
        meandering channel|river bend|river valley|riparian|fluvial|watercourse|water course|braided channel
        riverscape|sandbar|sand bar|floodwaters of the river|both banks|opposite bank|river delta|river course
        river mouth|river loop|riverway|rivercourse|distributary|distributaries""",
    "stream": """
        stream|creek|brook|rivulet|streamlet|streamside|creekside|beck|rill|runnel|streambank|brooklet
        mountain torrent""",
    "canal": """
        canal|waterway lock|aqueduct channel|shipping channel|navigation channel|ship canal|canalised river
        barge canal""",
    "ditch": "ditch|irrigation canal|irrigation channel|drainage channel|drainage canal|irrigation ditch|drain",
    "waterway": "waterway",
    "lake": """
        lake|lakeside|lakeshore|lakefront|reservoir|loch|tarn|lacustrine|impoundment|water reservoir|lake shore|laguna
        crater lake|lough|billabong|lake basin|glacial lake|mountain lake|storage reservoir""",
    "pond": """
        pond|fishpond|waterhole|water hole|watering hole|duck pond|farm pond|fish pond|lochan|millpond|mill pond
        stock pond|kettle pond|ornamental pond|oxbow lake|ox bow lake|farm dam|tank pond""",
    "basin": """
        retention basin|detention basin|settling basin|settling pond|sedimentation tank|clarifier|sewage lagoon
        circular basin|round basin|rectangular basin|concrete basin|treatment basin|water basin|storage basin
        storage pond|infiltration basin
    """,
    "salt pond": "salt pond|salt pan|salt works|saltworks|evaporation pond|salt evaporation pond|saltern|salina",
    "any pool": "pool",
    "pool": """
        swimming pool|outdoor pool|garden pool|backyard pool|lido|paddling pool|bathing pool|olympic pool
        swimming complex""",
    "harbour": """
        harbor|harbour|seaport|shipyard|port|port facility|container port|container terminal|ferry terminal|anchorage
        harbourside|slipway|boatyard|ferry port|fishing port|cargo port|cargo terminal|naval base|port area|port basin
        dockland""",
    "marina": """
        marina|yacht harbour|yacht harbor|yacht basin|yacht club|boat harbour|boat harbor|boat basin
        small craft harbour""",
    "dock": "dock|docks|wharf|wharves|quay|quayside|quays|dockyard|dockside",
    "pier": """
        pier|jetty|jetties|boat ramp|landing stage|pontoon|landing pier|mooring jetty|boat landing""",
    "breakwater": "breakwater|groyne|mole",
    "boat": """
        boat|ship|yacht|sailboat|sailing boat|ferry|ferries|barge|vessel|cargo ship|container ship|fishing boat|moored
        mooring|moorings|anchored|berth|docked|motorboat|speedboat|canoe|kayak|catamaran|tanker ship|cruise ship
        watercraft|freighter|trawler|rowboat""",
    "dam": """
        dam|weir|spillway|hydroelectric plant|hydroelectric dam|hydropower plant|lock gate|barrage|embankment dam
        dam wall|hydro dam|dam crest|concrete dam""",
    "forest": """
        forest|forested|woodland|woods|wooded|woodlot|jungle|rainforest|rain forest|tree cover|tree canopy
        forest canopy|canopy|taiga|boreal|conifer|coniferous|coniferous trees|deciduous|broadleaf|broad leaved forest
        pine|spruce|fir|fir tree|birch|beech|eucalyptus|eucalypt|larch|evergreen forest|pine tree|pinewood|timberland
        afforested|tree covered|timber covered|timbered|tree clad|treed hills|sylvan|silviculture|tree plantation
        backwoods|forestry|treed slope|dense trees|densely treed|treetop|pine plantation|conifer plantation
        coniferous plantation|forest plantation|timber plantation|spruce plantation|eucalyptus plantation
        plantation forest|understory|forest floor|clearcut|clear cut|logging|cloud forest|forest block
        gallery forest|wildwood|tree covered slope|woodland belt|rain forested|plantation forestry|plantation woodland
        rubber plantation|teak plantation|tropical forest|forest vegetation|covered in forest""",
    "tree": """
        tree|treed|tree lined|hedgerow|shade tree|palm|palm tree|tree line|treeline|grove|copse|copses|tree row
        windbreak|shelterbelt|street tree|leafy|arboretum|oak|oak tree|spinney|poplar|cypress|cedar|aspen|alder|willow
        maple|acacia|stand of trees|clump of trees|belt of trees|avenue of trees|line of trees""",
    "crops": """
        cropland|crop land|crops|arable|arable land|cultivated|cultivation|wheat|corn|maize|barley|soybean|soya
        rapeseed|canola|sugarcane|sugar cane|cotton field|ploughed|plowed|harvested|furrow|furrowed|crop field
        crop circle|center pivot|centre pivot|pivot irrigation|irrigated|paddy|paddies|rice paddy|rice paddies
        rice field|rice|tilled|row crop|sunflower field|potato field|stubble|crop row|cropped land|crop cover|sown
        terraced field|rice terrace|tillage|wheat field|cornfield|vegetable plot|market garden|combine|harvester
        agricultural crop|crop plot|cash crop|grain field|growing crop|sugar beet|beet|tobacco|sunflower|cereal
        cereal crop|grain crop|oats|rye|millet|sorghum|vegetable field|ploughland|plowland|tilled field
        cultivated plot|cultivated field|flower field|lavender field|strawberry field|arable farming|arable cropping
        paddy field|barley field|corn field|maize field|rapeseed field|cereal field|beet field|soybean field
        ploughed field|plowed field|harvested field|stubble field|irrigated field|arable field|cultivated land
        cultivated ground""",
    "orchard": """
        orchard|olive grove|olive tree|fruit tree|citrus grove|citrus|palm plantation|oil palm|banana plantation
        coffee plantation|almond grove|berry plantation|olive groves|plantation|rubber tree|date palm|palm grove
        coconut grove|coconut plantation|cocoa plantation|fruit plantation|apple orchard|tea plantation|tea garden
        citrus orchard|olive plantation|nut grove|pecan grove|oil palm plantation|hop garden""",
    "nursery": "plant nursery|tree nursery|nursery",
    "vineyard": """
        vineyard|vine|viticulture|grapevine|grapevines|wine estate|vine row""",
    "farmland": """
        farmland|farm land|agricultural|agriculture|farming|agrarian|croft|ranch|ranchland|agricultural land
        agricultural field|farm field|farmed|agro pastoral|fallow|arable fields|smallholding|alfalfa|lucerne
        farmed land|farming land|set aside land|agricultural parcel|agricultural development""",
    "field": "field|plot of land|patchwork of fields",
    "grassland": """
        grassland|grass land|meadow|meadowland|prairie|steppe|pampas|grass plain|grassy plain|sward|veld|hay meadow
        alpine meadow|grassed plain|downland|water meadow|grassland vegetation|grassy steppe|grass steppe|down land
        grasslands""",
    "pasture": """
        pasture|pastureland|pasture land|grazing land|grazing|grazed|rangeland|hayfield|hay field|paddock
        livestock pasture|grazing ground|grazing meadow|grazing pasture""",
    "savanna": "savanna|savannah|cerrado",
    "grass": """
        grass|grassy|lawn|turf|green space|greenspace|grass verge|sod|grass covered|herbaceous|mown|mowed|green turf
        grassed|grassed area|grass field|herbaceous vegetation|grassy vegetation""",
    "shrubland": """
        shrub covered|shrub cover|shrubland|shrub land|scrubland|scrub land|brushland|bushland|chaparral|maquis|fynbos
        sagebrush|garrigue|scrub|thornscrub|thorn scrub|matorral|macchia|mallee|caatinga|scrubby|shrub vegetation
        scrub vegetation|shrubby vegetation""",
    "heath": "heath|heathland|moorland|moor|heather|gorse",
    "bush": "bush|thicket|shrub|shrubby|brush|shrubbery|hedge|mesquite|cactus|cacti",
    "vegetation": """
        vegetation|vegetated|greenery|foliage|plants|green plants|verdant|undergrowth|flora|plant life|green cover
        leafage|overgrown|weeds""",
    "wetland": """
        wetland|wet land|marsh|marshland|swamp|swampy|swampland|bog|boggy|fen|peatland|peat bog|peat|mire|salt marsh
        saltmarsh|reed bed|reedbed|bayou|marshy|quagmire|everglade|wet meadow|waterlogged|muskeg|morass|fenland
        peat land|wetland vegetation|marsh vegetation|slough|bogland|marshy ground""",
    "mangrove": """
        mangrove|mangrove forest|mangrove swamp|mangal|mangrove vegetation|mangrove thicket|mangrove stand""",
    "mudflat": """
        mudflat|mud flat|tidal flat|tideland|intertidal flat|mud bank|mudbank|tidal mud|exposed mud|intertidal mud
        tidal mudflat|intertidal mudflat|mud flats""",
    "moss": "moss|lichen|mossy",
    "tundra": "tundra|permafrost",
    "desert": """
        desert|dune|sand dune|dune field|erg|sahara|deserted dunes|sand sea|desertic|desert like|barchan|dunefield
        sandy desert|desert pavement|hyper arid|hyperarid""",
    "arid": "arid|semi arid|semiarid|parched|badlands|desolate ground|wasteland|desiccated",
    "bare land": """
        bare land|bareland|barren|barren land|barren ground|bare rock|bare surface|unvegetated|denuded|barren terrain
        barren landscape|bare terrain|bare area|barren hills|bare mountain|bare hill|bare slope|barren mountain
        barren slope|bare mountainside|bare hillside|bare land surface|bare expanse|salt flat|salt crust|playa
        alkali flat|salt plain|naked rock|denuded slope|moonscape|bare stone|barren expanse|bare plain|barren plain""",
    "soil": """
        soil|bare soil|bare ground|bare earth|exposed soil|exposed earth|dirt|mud|muddy|clay|loess|bare patch
        earth mound|bare sediment|exposed sediment|bare gravel|bare alluvium|bare dirt|bare clay""",
    "sand": "sand|sandy|white sand|gravel|pebble|shingle|sands",
    "rock": """
        rock|rocky|cliff|boulder|outcrop|rock outcrop|lava|lava flow|volcanic|bedrock|canyon|gorge|craggy|crag|scree
        escarpment|ravine|talus|stony|moraine|basalt|limestone pavement|granite|lava field|boulder field|block field
        rock field|stone field|debris field|scree field|volcanic field|rock face|rockface|terminal moraine
        lateral moraine|inselberg|butte|mesa|karst|rubble|rockslide|bluff""",
    "snow": """
        snow|snowy|snow covered|snow capped|snowfield|snow field|snowpack|snowbound|snow clad|snowcap|snowdrift
        snowfall|snow cover|snowcapped|blanketed in white snow|ski slope|ski run|ski piste|avalanche|firn|snow patch
        snow blanket|snowy slope""",
    "ice": "ice|icy|iceberg|ice floe|sea ice",
    "glacier": """
        glacier|glacial ice|glacial tongue|glaciated|ice sheet|ice cap|icefield|ice field|crevasse|ice shelf|icecap
        ice tongue|glacier tongue|icefall|ice fall|serac|glacier ice|ice stream""",
    "people": """
        human habitation|human activity|human activities|human presence|human development
        human influence|human intervention|human occupation|human structure|human construction|human trace|habitation
        man made structure|man made feature|man made object|man made element|man made construction|human made structure
        human made feature|manmade structure|manmade feature|manmade object|built structure|artificial structure
        artificial feature|infrastructure|built infrastructure|anthropogenic feature|anthropogenic structure
        human footprint|human imprint|human disturbance|sign of people|sign of development|sign of life|development""",
    "settlement": """
        city|cities|town|village|urban|urbanized|urbanised|urban area|suburb|suburban|suburbia|metropolis
        metropolitan|settlement|township|built up|built up area|built up land|built environment|built area
        city block|city center|city centre|townscape|cityscape|hamlet|urban fabric|urban sprawl|sprawl|conurbation
        dense buildings|densely built|densely built up|rows of buildings|clusters of buildings|cluster of buildings
        urban development|inhabited|densely populated|populated area|populated|impervious surface|street grid
        grid of streets|city street|urban street|urban core|megacity|borough|municipality|inner city|old town
        human settlement|built over|built upon|developed land|developed area|urban landscape|urban zone|urban land
        urban district|fishing village|market town|built up zone|built up core|sealed surface|impermeable surface
        urban quarter|suburban development|urban growth""",
    "quarter": """
        skyscraper|high rise|highrise|high rises|tower block|high rise building|tall building|downtown
        business district|commercial district|slum|shanty town|shantytown|favela|informal settlement
        multi storey building|multistorey building|tower blocks|central business district|shanties""",
    "residential": """
        residential|residential area|neighbourhood|neighborhood|housing|housing estate|subdivision
        residential building|residential block|housing development|rows of houses|row of houses|row houses
        terraced houses|dense houses|densely packed houses|clusters of houses|cluster of houses|mobile home park
        trailer park|residential district|residential street|cul de sac|gated community|housing tract|tract housing
        residences|many houses|lots of houses|homesteads|residential quarter|residential zone|residential suburb
        residential community|residential development|residential neighbourhood|residential neighborhood|housing area
        housing complex|housing project|residential property|residential properties|single family housing
        estate of houses|housing scheme""",
    "apartment": """
        apartment block|apartment building|apartment complex|apartment|condominium|apartment house|block of flats
        blocks of flats|tower of flats""",
    "building": """
        building|tower|roof|rooftop|roofed|structure|chimney|hut|shed|garage|barracks|compound|pavilion|office
        brick building|edifice|facility|high building|construction of buildings|outbuilding|shack|bunker complex
        government building|fire station|police station|courthouse|town hall
        museum|library|theatre""",
    "house": """
        house|home|villa|cabin|cottage|dwelling|bungalow|mansion|residence|mobile home|homestead|chalet
        single family home|detached house|duplex|townhouse|lodge|household|manor|manor house|country house|family home
        town house|hacienda|farm cottage|summer house|holiday home|ranch house""",
    "farm": "farm|farmyard|poultry farm|dairy farm",
    "barn": """
        farmhouse|barn|farm building|stable|cowshed|grange|farm shed|farmstead|hay barn|cattle shed|livestock shed
        poultry shed|poultry house|milking parlour|farm complex|farm outbuilding|byre|pigsty|piggery|cow house""",
    "industry": """
        industrial|industry|industries|refinery|oil refinery|industrial zone|industrial estate|manufacturing|smelter
        foundry|sawmill|industrial complex|chemical plant|cement plant|steel mill|mill complex|smokestack|brickworks
        industrialised|industrialized|industrial park|industrial facility|industrial facilities|business park
        oil well|well pad|pumpjack|container yard|paper mill|sugar mill|steelworks|ironworks|petrochemical
        petrochemical plant|cement works|industrial site|industrial works|industrial district|industrial unit
        processing plant|shipbuilding yard|brewery|distillery|oil mill|palm oil mill|chemical works
        industrial development|industrial use|industrial building complex""",
    "factory": """
        factory|factories|industrial building|manufacturing plant|workshop|industrial hall|production hall
        assembly plant|manufacturing facility|car plant|bottling plant|industrial shed|textile mill""",
    "warehouse": """
        warehouse|logistics center|logistics centre|distribution center|distribution centre|storage hall|storage shed
        storage facility|storage building|distribution hub|logistics hub|logistics park|logistics facility
        fulfilment centre|fulfillment center|distribution warehouse|storage warehouse""",
    "power plant": """
        power plant|power station|nuclear plant|nuclear power plant|coal plant|thermal power station
        thermal power plant|coal fired plant|gas fired plant|generating station|hydroelectric power station
        hydroelectric station""",
    "commerce": """
        office building|office block|hotel|commercial|commercial building|commercial area|retail|restaurant|big box
        car dealership|business center|motel|office tower|shops|retail outlet|commercial strip|business premises
        shopfront|retail store|commercial zone|guesthouse|hotel complex|resort hotel|commercial development
        tourist development""",
    "shopping": """
        shopping mall|mall|shopping center|shopping centre|supermarket|retail park|marketplace|hypermarket
        shopping complex|shopping plaza|strip mall|shopping arcade|superstore|department store|shopping precinct
        outlet mall|outlet centre""",
    "petrol": """
        gas station|petrol station|filling station|service station|fuel station|fuelling station|fueling station
        gasoline station|truck stop|petrol pump|fuel stop""",
    "school": """
        school|kindergarten|school building|academy|educational institution|schoolyard|school ground|school complex
        schoolhouse|high school|elementary school|primary school|secondary school|middle school|boarding school
        nursery school|lyceum|gymnasium school""",
    "university": """
        university|campus|college|university campus|campuses|polytechnic|academic campus|academic building
        lecture hall|faculty building|university building|university complex|university grounds|college grounds""",
    "hospital": """
        hospital|clinic|medical center|medical centre|hospital complex|hospital building|medical facility
        medical facilities|medical complex|health centre|health center|medical campus|infirmary|sanatorium
        health clinic|hospital campus""",
    "prison": """
        prison|jail|penitentiary|correctional facility|correctional centre|correctional center|detention centre
        detention center|gaol|correctional institution|prison complex|prison compound|remand centre|jailhouse""",
    "worship": "place of worship|shrine|minaret|religious building",
    "church": """
        church|cathedral|chapel|monastery|steeple|abbey|basilica|church tower|bell tower|belfry|convent|parish church
        minster|priory|churchyard church|cathedral complex|church spire|spire|nunnery|church building""",
    "mosque": """
        mosque|masjid|prayer hall|mosque complex""",
    "temple": """
        temple|pagoda|stupa|gurdwara|temple complex|buddhist temple|hindu temple""",
    "synagogue": "synagogue",
    "greenhouse": """
        greenhouse|glasshouse|polytunnel|hothouse|plastic tunnel|plastic covered tunnel|poly tunnel|hoop house
        glass house|plastic greenhouse|tunnel greenhouse|polythene tunnel|greenhouse complex|plasticulture
        glazed greenhouse""",
    "castle": """
        castle|fortress|palace|citadel|ruins|fort|fortification|chateau|stronghold|castle ruins""",
    "road": """
        road|roadway|roadside|carriageway|thoroughfare|dirt road|paved road|gravel road|access road|asphalt road
        road network|two lane road|lane road|roadbed|cars driving|traffic|tarred road|bus station|unpaved road
        winding road|toll booth|toll plaza|surfaced road|unsurfaced road|tarmac road|metalled road|earth road
        sealed road|unsealed road|hairpin bend|hairpin|switchback|road bend|road system|road grid|transport route
        vehicular road|cart road|logging road|forest road|farm road|mountain road|coast road""",
    "main road": "main road|major road|arterial|arterial road|main street|through road|main thoroughfare",
    "highway": """
        highway|dual carriageway|ring road|beltway|bypass|multi lane|multilane|divided highway|slip road|on ramp
        off ramp|trunk road|primary road|four lane|six lane|four lane road|six lane road|state highway
        six lane highway|four lane highway|expressway style road|arterial highway|main highway|major highway
        national highway""",
    "motorway": """
        motorway|freeway|expressway|interstate|turnpike|autobahn|autoroute|autostrada|eight lane|super highway
        superhighway|tollway|motorway carriageway""",
    "by-road": """
        country road|rural road|byroad|minor road|local road|back road|country lane|village road|farm lane|side road
        single track road|byway|minor lane""",
    "street": """
        street|lane|alley|driveway|avenue|boulevard|sidewalk|promenade|crosswalk|cobbled|laneway
        residential road
    """,
    "paved": "pavement|paved|asphalt|asphalted|tarmac",
    "intersection": """
        intersection|crossroads|crossroad|road junction|junction|t junction|road crossing|street corner
        road intersection|t intersection|cross roads|crossing of roads|signalised junction|four way stop
        highway junction""",
    "roundabout": """
        roundabout|traffic circle|rotary junction|rotary|gyratory|circular junction|traffic rotary
        circular intersection|traffic roundabout""",
    "interchange": """
        interchange|cloverleaf|spaghetti junction|highway interchange|motorway junction|motorway interchange
        stack interchange|trumpet interchange|diamond interchange|cloverleaf junction|clover leaf
        cloverleaf interchange|grade separated junction""",
    "track": """
        dirt track|unpaved track|farm track|forest track|gravel track|vehicle track|cart track|access track
        sandy track|earth track|mud track|wheel track|jeep track|two track|logging track|field track|unmade track
        rough track|rutted track|stony track|twin track|4x4 track""",
    "path": "trail|walkway|cycle path|bike path|pathway|bike lane|path|walking path|cycleway|footway|track",
    "footpath": "footpath|hiking trail|walking trail|hiking path",
    "overpass": """
        overpass|viaduct|flyover|elevated highway|elevated road|underpass|road viaduct|railway viaduct|rail viaduct
        grade separation""",
    "bridge": """
        bridge|footbridge|aqueduct|crossing bridge|bridge deck|suspension bridge|railway bridge|road bridge
        pedestrian bridge|trestle|trestle bridge|cable stayed bridge|arch bridge|truss bridge|rail bridge
        railroad bridge|girder bridge|drawbridge|stone bridge|swing bridge|river crossing bridge""",
    "railway": """
        railway|railroad|rail line|rail track|railway line|train track|railway track|train|railyard|rail yard
        marshalling yard|locomotive|rails|rail|rail corridor|freight train|siding|sidings|rail spur|railhead
        rail siding|metro line|subway line|monorail|rail network|railway siding|railway embankment|rail tracks
        high speed line|railway corridor""",
    "station": """
        train station|railway station|metro station|rail station|railroad station|railway platform|train platform
        rail terminal|rail hub|railway terminus|rail terminus|central station|railway halt|commuter station
        subway station""",
    "tram": """
        tram|tramway|tram line|tram track|streetcar|light rail|tramline|trolley line|streetcar line|tram stop
        tram depot|light rail line|light rail track""",
    "tunnel": "tunnel|tunnel opening|tunnel portal",
    "airport": """
        airport|airfield|airstrip|aerodrome|air base|airbase|air strip|landing field|landing ground|flying field
        aviation facility|airport complex|regional airport|international airport""",
    "runway": """
        runway|landing strip|take off strip|airport strip|asphalt runway""",
    "taxiway": "taxiway",
    "apron": "airport apron|parking apron|apron of the airport|tarmac apron",
    "terminal": "terminal|terminal building|airport terminal|air terminal|passenger terminal",
    "hangar": """
        hangar|aircraft hangar|maintenance hangar|aircraft shed""",
    "aircraft": """
        airplane|aeroplane|aircraft|plane|jet|airliner|air plane|passenger jet|fighter jet|helicopter|jetliner|biplane
        light aircraft|jumbo jet|glider|bomber|passenger plane|propeller plane|airplanes parked""",
    "helipad": "helipad|heliport|helicopter pad|landing pad",
    "parking": """
        parking lot|car park|parking area|parking space|parking garage|parking|parking spot|parking bay|carpark
        car parking|vehicle parking|parking structure|parking deck|parking facility|parking facilities
        multi storey car park|car lot|parking ground|parked car""",
    "stadium": """
        stadium|arena|grandstand|stadia|bleachers|amphitheatre|amphitheater|coliseum|sports arena|bullring
        sports stadium|football stadium|stadium bowl""",
    "racetrack": """
        racetrack|race track|racecourse|speedway|velodrome|race course|horse track|hippodrome|racing circuit|raceway
        motorsport circuit|motor racing circuit|race circuit|drag strip|karting track|go kart track|greyhound track
        trotting track|racing track|harness track|racing oval""",
    "pitch": """
        sports field|sport field|sports pitch|playing field|pitch|volleyball court|sports court|sports ground
        cricket ground|cricket field|rugby|sport court|sports facility|sports complex|athletics|hockey field
        athletic field|court|cricket oval|cricket pitch|rugby pitch|rugby field|rugby ground|hockey pitch
        lacrosse field|bowling green|sports centre|sports center|padel court|handball court|playing pitch
        multi use court|sporting field|sports arena field|sport complex|sport facility""",
    "baseball": """
        baseball diamond|baseball field|baseball|softball|ballpark|ball field|softball field|ball diamond
        softball diamond|baseball park|baseball stadium|baseball pitch|little league""",
    "football": "football field|soccer|soccer field|football pitch|football ground|football|soccer pitch",
    "tennis": """
        tennis court|tennis|tennis club|tennis facility|tennis centre|tennis center""",
    "basketball": "basketball court|basketball",
    "running track": """
        running track|athletics track|athletic track|ground track field|track and field|track field|race oval
        racing track lanes|track oval|oval running track|athletics oval|athletics stadium track""",
    "ice rink": "ice rink|skating rink",
    "golf": """
        golf course|golf|fairway|putting green|sand trap|golf green|golf club|golfing|golf links|driving range
        golf hole|golf resort|golf complex""",
    "park": "park|public park|city park|recreation ground|national park|nature park|botanical garden",
    "allotment": "allotment|allotment garden|allotment plot|community garden|kitchen garden plot|garden colony",
    "garden": "garden|gardens|backyard|yard|courtyard|public garden|front yard",
    "playground": """
        playground|skate park|skatepark|play area|children play area|play park""",
    "campsite": """
        campsite|camp site|campground|caravan park|camping ground|camping site|holiday park|camping|camping area
        tent|tent camp|caravan site|rv park|camping park|touring park|trailer camp""",
    "cemetery": """
        cemetery|cemeteries|graveyard|burial ground|gravestone|churchyard|graves|tombstone|necropolis|war cemetery
        headstone|burial site|memorial cemetery""",
    "amusement": """
        amusement park|theme park|roller coaster|ferris wheel|fairground|funfair|big wheel|adventure park
        rollercoaster""",
    "water park": """
        water park|waterpark|aquapark|water slide|splash park|aqua park|waterslide""",
    "zoo": """
        zoo|wildlife park|safari park|zoological garden|animal park""",
    "tank": """
        storage tank|oil tank|fuel tank|gas tank|tank farm|water tank|gasometer|tank|round tank|circular tank
        spherical tank|cylindrical tank|petroleum tank|gas holder|oil depot|fuel depot|oil terminal|fuel storage
        oil storage|storage sphere|oil storage tank|fuel storage tank|tank battery|tankage""",
    "silo": """
        silo|grain silo|grain elevator|grain bin|grain store|grain tank|grain terminal|storage silo""",
    "water tower": """
        water tower|elevated water tank|water storage tower""",
    "water plant": """
        water treatment plant|sewage plant|wastewater plant|sewage works|sewage treatment plant|waterworks
        treatment plant|wastewater treatment plant|wastewater treatment facility|wastewater treatment facilities
        wastewater treatment works|wastewater facility|waste water treatment plant|sewage treatment facility
        sewage treatment works|sewage facility|sewage farm|water treatment facility|water treatment works
        water purification plant|water works|desalination plant|treatment works|effluent plant|water plant""",
    "solar": """
        solar panel|solar farm|photovoltaic|solar park|solar array|solar|solar plant|solar power|solar field|pv plant
        pv array|pv panel|pv farm|pv park|photovoltaics""",
    "wind": """
        wind turbine|wind farm|windmill|wind park|turbine|wind generator|wind energy|wind power|wind plant
        wind powered generator|windfarm""",
    "power line": """
        power line|powerline|pylon|transmission line|electricity line|utility line|high voltage line|overhead line
        electricity pylon|power cable|overhead cable|high tension line|electric line|transmission tower""",
    "substation": """
        substation|electric substation|transformer station|switchyard|electrical substation|power substation
        switching station|converter station|transformer yard|electricity substation""",
    "tower": "lighthouse|cooling tower|radio mast|mast|antenna|watchtower|communication tower|obelisk",
    "quarry": """
        quarry|mine|open pit|open pit mine|strip mine|excavation|gravel pit|sand pit|open cast mine|opencast|mine site
        mining site|mineral extraction|tailings|surface mine|gold mine|coal mine|open cut|open cut mine|open cut pit
        borrow pit|clay pit|chalk pit|mine pit|mining pit|limestone quarry|quarrying|aggregate pit|stone quarry
        gravel quarry|sand quarry|open pit mining|mining operation|mine workings|mining area|mining complex
        opencast pit|quarry pit""",
    "landfill": """
        landfill|dump site|garbage dump|rubbish dump|waste disposal|scrapyard|junkyard|refuse tip|waste tip
        rubbish tip|refuse dump|refuse site|trash dump|landfill cell|waste site|waste landfill|garbage tip""",
    "construction": "construction site|building site|under construction",
    "military": """
        military base|military facility|army base|military installation|army camp|military camp|military airfield""",
    "mountain": """
        mountain|mountainous|mountain range|mountainside|alpine|peak|summit|rugged|steep|steep slope|steeply
        precipitous|alps|mountain ridge|mountain top|sierra|highlands|volcano|highland|mountaintop|massif|ridgeline
        mountain side|mountain slope|mountain peak|mountain chain|mountain terrain""",
    "flat": """
        flat terrain|flat land|flat landscape|level terrain|plain|flatland|flat ground|lowland|flat plain|level ground
    """,
    "cloud": "cloud|cloudy|cloud cover|cloudiness|haze|clouds|overcast|cloud shadow|fog",
}
