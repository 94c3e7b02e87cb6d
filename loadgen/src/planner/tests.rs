use std::fs;

use serde_json::json;

use super::*;

/// A search as `din search` leaves it, in a file of its own.
fn search(
    directory: &Path,
    workers: u32,
    devices: (u32, u32),
    change: &[(&str, serde_json::Value)],
) -> PathBuf {
    let trial = |value: u32, good: bool| {
        json!({
            "value": value, "good": good, "failed": if good { vec![] } else { vec!["frames_lost"] },
            "worst_group": null, "directory": "trial",
            "seen": {
                "devices": value, "workers": workers,
                "frames_per_s": f64::from(value) * 16.0, "work_mean_ms": 1.0,
                "workers_busy": f64::from(value) * 0.016,
                "response_latency_mean_ms": 5.0, "response_latency_p99_ms": 20.0,
                "effective_loss_percent": 0.0, "gateway_cpu_percent": 50.0,
                "gateway_rss_mib": 20.0, "generator_cpu_percent": 20.0,
            },
        })
    };
    let mut kept = json!({
        "format": 2, "scenario": "capacity.toml", "text": "", "trial_s": 10,
        "quantity": {"name": "devices", "unit": "", "range": [1, 20000], "fewest": false},
        "command": "din search", "din_version": "0.1.0",
        "basis": {
            "host": {"cores": 2, "cpu_model": "Model", "memory_mib": 8000, "kernel": "6.1"},
            "limits": [["response_latency.p99", "< 100ms", 100.0]],
        },
        "search": {
            "goal": {"sum_s": 30.0, "exceed": 0.5, "width": 0.05, "range": [1, 20000]},
            "estimate": 50,
            "accounts": {
                devices.0.to_string(): {"good_s": 20.0, "bad_s": 0.0},
                devices.1.to_string(): {"good_s": 0.0, "bad_s": 20.0},
            },
        },
        "trials": [trial(devices.0, true), trial(devices.0, true), trial(devices.1, false), trial(devices.1, false)],
        "invalid": 0,
    });
    for (pointer, value) in change {
        *kept.pointer_mut(pointer).unwrap() = value.clone();
    }
    let path = directory.join(format!("{workers}.json"));
    fs::write(&path, kept.to_string()).unwrap();
    path
}

/// What 1 to 24 workers carry with a contention of 5 % and a coherence of 0.2 %.
const CARRIED: [(u32, (u32, u32)); 6] = [
    (1, (59, 61)),
    (2, (112, 116)),
    (4, (200, 208)),
    (8, (323, 335)),
    (16, (420, 438)),
    (24, (430, 450)),
];

fn searches(directory: &Path, most: u32) -> Vec<PathBuf> {
    let carried = CARRIED.iter().filter(|(workers, _)| *workers <= most);
    carried.map(|(workers, devices)| search(directory, *workers, *devices, &[])).collect()
}

#[test]
fn what_devices_need_is_told_with_where_it_was_measured() {
    let directory = tempfile::tempdir().unwrap();
    let plan = plan(&searches(directory.path(), 8), &[50, 180, 300, 700]).unwrap();
    let text = plan.text();
    insta::assert_snapshot!(text);
    // 300 devices are within 8 workers, 700 are not.
    let [_, within, _, beyond] = &plan.needs[..] else { panic!("{:?}", plan.needs) };
    assert!(!within.extrapolated && beyond.extrapolated, "{:?}", plan.needs);
    assert!(within.safe >= within.workers, "{within:?}");
    // Each device has a frame in hand for 1.6 % of the time.
    let busy = within.utilisation.unwrap() * f64::from(within.safe.unwrap());
    assert!((busy - 180.0 * 0.016).abs() < 0.01, "{within:?}");
    let page = study(&plan, "din plan 1 2 4 8".to_owned()).page();
    for said in [
        "PARTLY EXTRAPOLATED",
        "700 devices",
        "<figure id=\"law\"",
        "line up is where the measurement ends",
        "din plan 1 2 4 8",
    ] {
        assert!(page.contains(said), "{said}");
    }
    let json: serde_json::Value =
        serde_json::from_str(&serde_json::to_string(&plan).unwrap()).unwrap();
    assert_eq!(json["measured"][3]["devices"], json!([323, 335]));
    assert_eq!(json["needs"][3]["extrapolated"], true);
}

#[test]
fn enough_levels_beyond_the_peak_need_no_caution() {
    let directory = tempfile::tempdir().unwrap();
    let plan = plan(&searches(directory.path(), 24), &[]).unwrap();
    assert_eq!(plan.cautions, [""; 0]);
    let peak = plan.fitted.law.peak().unwrap();
    assert!((18.0..24.0).contains(&peak), "{peak}");
    assert!((plan.alpha.value - 0.05).abs() < 0.02, "{:?}", plan.alpha);
    // Twice of what was carried is more than any number of workers carries.
    let last = plan.needs.last().unwrap();
    assert_eq!((last.devices, last.workers, last.safe), (860, None, None));
    assert!(
        plan.text()
            .contains("860 devices: by the law no number of workers up to 1024 carries them")
    );
}

#[test]
fn what_makes_a_plan_doubtful_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let mut mixed = searches(directory.path(), 4);
    let host = json!({"cores": 8, "cpu_model": "Model", "memory_mib": 8000, "kernel": "6.1"});
    let limits = json!([["response_latency.p99", "< 60ms", 60.0]]);
    mixed.push(search(
        directory.path(),
        8,
        (323, 335),
        &[
            ("/basis/host", host),
            ("/basis/limits", limits),
            ("/trials/0/seen/workers_busy", json!(7.5)),
        ],
    ));
    let plan = plan(&mixed, &[]).unwrap();
    for said in [
        "different limits",
        "different hosts",
        "4 numbers of workers: 6 or more",
        "still grew at 8 workers",
        "with 8 workers Little's law calls for 5.17 at work and 6.33 were counted",
    ] {
        assert!(
            plan.cautions.iter().any(|caution| caution.contains(said)),
            "{said}: {:#?}",
            plan.cautions
        );
    }
}

/// Two cores: more workers than that carry no more.
#[test]
fn growth_of_another_shape_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let measured = [(1, (297, 309)), (2, (544, 568)), (4, (544, 568)), (8, (521, 544))];
    let searches: Vec<PathBuf> = measured
        .iter()
        .map(|(workers, devices)| search(directory.path(), *workers, *devices, &[]))
        .collect();
    let plan = plan(&searches, &[]).unwrap();
    let said = plan.cautions.iter().find(|caution| caution.contains("another shape")).unwrap();
    assert!(said.starts_with("with 2 workers 10 % more was carried than the law says"), "{said}");
}

#[test]
fn what_cannot_be_planned_from_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let good = searches(directory.path(), 4);
    let with = |change: &[(&str, serde_json::Value)]| {
        let other = search(directory.path(), 99, (300, 310), change);
        format!("{:#}", plan(&[&good[..], &[other]].concat(), &[]).unwrap_err())
    };
    for (change, said) in [
        (("/quantity/name", json!("gateway.workers")), "needs searches of devices"),
        (("/search/accounts/310", json!({"good_s": 10.0, "bad_s": 10.0})), "has no bracket yet"),
        (("/trials/0/seen/workers", json!(null)), "a pool that changed"),
        (("/trials/0/seen/workers", json!(4)), "a pool that changed"),
        (("/format", json!(1)), "has format 1, this Din reads 2"),
    ] {
        let error = with(std::slice::from_ref(&change));
        assert!(error.contains(said), "{change:?}: {error}");
    }
    let error = format!("{:#}", plan(&good[..2], &[]).unwrap_err());
    assert!(error.contains("3 numbers of workers are the fewest"), "{error}");
    assert!(error.contains("there are 1, 2"), "{error}");
    let error = format!("{:#}", plan(&[directory.path().to_owned()], &[]).unwrap_err());
    assert!(error.contains("there is no"), "{error}");
}
