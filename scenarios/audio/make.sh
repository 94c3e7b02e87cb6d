#!/usr/bin/env bash
# Makes the 16 test voices again, from scratch, in the folder this script is in.
# Needs (Debian 12, main): espeak-ng flite festival festvox-kdlpc16k festvox-ru festlex-cmu festlex-poslex sox
set -euo pipefail
export LC_ALL=C.UTF-8
cd "$(dirname "$0")"
for tool in espeak-ng flite text2wave sox; do
  command -v "$tool" >/dev/null || { echo "make.sh: $tool is not installed" >&2; exit 1; }
done
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

# make NAME PAUSE TEXT [SOX EFFECT...]
# TEXT is cut at "|". Each part is spoken on its own by the function "part", freed of
# silence at both ends, and joined to the next with PAUSE seconds of silence.
# The whole gets 50 ms of silence at each end and a peak of -3 dBFS.
# "speed X" moves pitch and formants together by the factor X; the speaking rate given
# to the synthesiser makes up for the change of length.
make() {
  local name=$1 pause=$2 text=$3 i=0 p
  shift 3
  local -a parts list=()
  rm -f "$tmp"/*
  IFS='|' read -ra parts <<< "$text"
  sox -D -R -n -r 16000 -c 1 -b 32 -e floating-point "$tmp/gap.wav" trim 0 "$pause"
  for p in "${parts[@]}"; do
    p=${p# }; p=${p% }
    part "$p" "$tmp/raw.wav"
    sox -D -R "$tmp/raw.wav" -b 32 -e floating-point "$tmp/cut.wav" \
      gain -6 "$@" highpass 60 rate -v 16000 channels 1 \
      silence 1 0.005 0.4% reverse silence 1 0.005 0.4% reverse
    sox -D -R "$tmp/cut.wav" "$tmp/p$i.wav" fade t 0.004 -0 0.004
    [ "$i" -eq 0 ] || list+=("$tmp/gap.wav")
    list+=("$tmp/p$i.wav")
    i=$((i + 1))
  done
  sox -D -R "${list[@]}" -b 16 -e signed-integer "$name.wav" pad 0.05 0.05 gain -n -3
  echo "$name.wav"
}

# with_espeak VOICE PITCH WORDS-PER-MINUTE, then the arguments of make
with_espeak() {
  V=$1 P=$2 S=$3; shift 3
  part() { espeak-ng -z -v "$V" -p "$P" -s "$S" -w "$2" "$1"; }
  make "$@"
}

# with_flite VOICE DURATION-STRETCH MEAN-PITCH, then the arguments of make
with_flite() {
  V=$1 S=$2 P=$3; shift 3
  part() { flite -voice "$V" --setf duration_stretch="$S" --setf int_f0_target_mean="$P" -t "$1" -o "$2"; }
  make "$@"
}

# with_festival SCHEME, then the arguments of make
with_festival() {
  V=$1; shift
  part() { printf '%s\n' "$1" > "$tmp/text"; text2wave -eval "$V" -o "$2" "$tmp/text"; }
  make "$@"
}

rm -f [0-9][0-9]-*.wav

with_espeak fr+f5 95 167 01-claire 0.27 "Bonjour, je voudrais prendre un rendez-vous chez le dentiste. | Est-ce que jeudi matin serait possible, vers neuf heures ?" speed 0.9
with_flite awb 0.86 95 02-magnus 0.38 "My heating stopped working last night. | I need someone to look at the boiler before the weekend, because we have guests." speed 0.8
with_espeak en-029+m8 75 138 03-winston 0.37 "Good afternoon. | Please remind me to water the tomatoes tonight. | The garden looks very dry this week." speed 1.12
with_flite slt 1.00 205 04-susan 0.34 "Hi, my parcel has not arrived yet. | Can you check where it is, and call me back this afternoon? I am at home until five."
with_espeak en-gb-scotland+m2 15 150 05-hamish 0.34 "How far is it to the old lighthouse? | We want to walk there with the dog, and be back in time for supper."
with_flite rms 0.90 100 06-ray 0.28 "Please turn down the lights in the kitchen. | And add coffee, bread and two lemons to my shopping list." speed 0.9
with_espeak en-us+linda 15 147 07-linda 0.26 "Set an alarm for six tomorrow. | No, wait, make it half past six. I do not need to leave that early." speed 1.12
with_festival '(voice_msu_ru_nsh_clunits)' 08-nikolai 0.26 "Добрый вечер! | Какая завтра будет погода? | Хочу поехать на дачу и взять с собой детей." speed 0.94
with_espeak en-gb-x-rp+grandma 55 134 09-edith 0.39 "Could you read me my messages, please? | I cannot find my glasses, and the letters are so small." speed 1.12
with_flite slt 1.04 230 10-mia 0.24 "Can you play the song about the little boat again? | My brother wants to hear it too, and then we will both go to bed. I promise." speed 1.2
with_flite awb 1.12 150 11-angus 0.32 "Hello there. Could you tell me when the next train to the coast leaves? | I have a bicycle with me today, so I need a bit of space." speed 1.12
with_festival '(begin (voice_ked_diphone) (set! int_lr_params (quote ((target_f0_mean 95) (target_f0_std 14) (model_f0_mean 170) (model_f0_std 34)))) (Parameter.set (quote Duration_Stretch) 1.16))' 12-ken 0.36 "I think I left my umbrella in your shop. | It is dark green, with a wooden handle. | Did anybody find it?" speed 1.1
with_espeak sv+klatt2 75 134 13-lars 0.35 "Hej, jag undrar om biblioteket är öppet på söndag. | Jag vill lämna tillbaka några böcker." speed 1.12
with_espeak es+m7 35 167 14-diego 0.25 "Buenas tardes. | Quiero cambiar la hora de mi clase de guitarra. | ¿Puede ser el martes a las seis?" speed 0.9
with_espeak fi+f1 75 172 15-aino 0.30 "Huomenta. | Voisitko kertoa, milloin seuraava bussi keskustaan lähtee? | Minulla on vähän kiire." speed 0.9
with_espeak it+f4 75 143 16-giulia 0.29 "Ciao, vorrei ordinare due pizze e una bottiglia d'acqua. | Quanto tempo ci vuole per la consegna a casa?" speed 1.12
