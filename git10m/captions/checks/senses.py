"""Words that say that a thing is absent, and words of the vocabulary that claim nothing.

``WITHOUT`` claims that a thing is not there, ``FIGURATIVE`` nothing: words in another sense ("sea of houses", "field of
view", "blue roof" stays a roof, "snow-white" is no snow, a path that "meanders across" is no river).
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["FIGURATIVE", "WITHOUT"]

WITHOUT: Mapping[str, str] = {
    "tree": "treeless|unforested|tree free|non forested|nonforested",
    "water": "waterless|water free|landlocked ground",
    "snow": "snowless|snow free",
    "ice": "ice free",
    "road": "roadless",
    "settlement": "uninhabited|undeveloped|unbuilt|unpopulated|unsettled|non urban|uninhabitable",
    "people": """
        nothing has been built|nothing is built|nothing built|nothing has been constructed|nothing constructed
        nothing man made|nothing manmade|nothing artificial|nothing has been developed|no one lives|nobody lives
        nobody has settled|no one has settled|nobody has built|no people live
        untouched by people|untouched by humans|untouched by man|unmarked by people|nothing human|never been built
        free of development|free from development|free of construction|free of buildings and roads
        devoid of development|without development|no development""",
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
    meander through|meander across|meander past|meander between|meander along|meander down|meander over
    meander toward|meander towards|meander into|meander from|meander to|meander around|meander among
    meander beside|meanders through|meanders across|meanders past|meanders between|meanders along|meanders down
    meanders over|meanders toward|meanders towards|meanders into|meanders from|meanders to|meanders around
    meanders among|meanders beside|meandering through|meandering across|meandering past|meandering between
    meandering along|meandering down|meandering over|meandering toward|meandering towards|meandering into
    meandering from|meandering to|meandering around|meandering among|meandering beside|drains into|drain into
    drains to|drains through|drains the|drains away|drains north|drains south|drains east|drains west|streams past
    streams through|ice age|ice carved|ice scoured|ice sculpted|ice smoothed|snowline|snow line|snow fence
    snowmelt|snow melt|water mill|watermill|water level|water supply|water pump|water well|water trough|water pipe
    water pipeline|water management|water hyacinth|water stressed|water scarce|sea breeze|sea buckthorn
    tree island|forest island|building plot|building lot|building land|building material|building ground
    airport hotel|station road|lake district|field boundary|field stone|fieldstone|housing plot|tide of|tides of
    fort of|spire like|patchwork of roofs|crop marks|cropmark|parking brake|rotary kiln|bluff coloured
    rye coloured|rubble of time|railway sleeper|road cutting|roadworks|road works|camping chair|retail therapy
    rock garden|sea wall|crops out|outcrops in|coastal plain|coastal range|coastal mountain|coastal desert|seawall
"""
